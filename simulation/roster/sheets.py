"""A table as it stands in a CSV or Excel file: header, cells as text, and the row number that an editor shows.

Refuses what is no table (missing, empty, not UTF-8, not CSV) with one clear sentence. Knows nothing of rosters.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from simulation.errors import InputError

_EXCEL = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_EXCEL_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # zip (xlsx, ods) and OLE2 (xls)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Header and rows of a file, all of the header's width; `numbers` are the rows' numbers in the file."""

    header: list[str]
    numbers: list[int]
    rows: list[list[str]]
    malformed: list[tuple[int, str]]  # rows left out: (number, why)


def load(path: Path) -> Sheet:
    """Read a table; cells are stripped, empty rows skipped. Raises InputError where there is none."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder: a CSV or Excel file is expected")
    try:
        if path.suffix.lower() in _EXCEL:
            numbered = _excel_rows(path)
        else:
            numbered = _csv_rows(path, path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not numbered:
        raise InputError(f"{path}: is empty: a header and one row a site are expected")
    return _with_width(numbered)


def _csv_rows(path: Path, content: bytes) -> list[tuple[int, list[str]]]:
    if content.startswith(_EXCEL_MAGIC):
        raise InputError(f"{path}: is an Excel workbook: name it .xlsx, or save it as 'CSV UTF-8'")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} row {line}: is not UTF-8 text (byte 0x{content[error.start]:02X}): save the file as 'CSV UTF-8'"
        ) from error
    if "\0" in text:
        raise InputError(f"{path}: is not a CSV file (it holds binary data): a CSV or Excel file is expected")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    numbered = []
    line = 1
    try:
        for row in reader:
            numbered.append((line, row))
            line = reader.line_num + 1  # a quoted cell may hold line breaks: a row is numbered by its first line
    except csv.Error as error:
        raise InputError(f"{path} row {line}: is not CSV: {error}") from error
    return _without_empty(numbered)


def _excel_rows(path: Path) -> list[tuple[int, list[str]]]:
    import fastexcel

    with path.open("rb"):  # missing and unreadable files are told apart by the operating system's own error
        pass
    try:
        sheet = fastexcel.read_excel(path).load_sheet(0, header_row=None, skip_rows=0, dtypes="string")
        rows = sheet.to_polars().rows()
    except fastexcel.FastExcelError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is not a readable Excel workbook ({reason})") from error
    return _without_empty([(number, [cell or "" for cell in row]) for number, row in enumerate(rows, 1)])


def _without_empty(numbered: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    stripped = ((number, [cell.strip() for cell in row]) for number, row in numbered)
    return [(number, row) for number, row in stripped if any(row)]


def _with_width(numbered: list[tuple[int, list[str]]]) -> Sheet:
    """Split off the header; rows of another width are left out and explained."""
    header = numbered[0][1]
    while header and not header[-1] and all(len(row) < len(header) or not row[len(header) - 1] for _, row in numbered):
        header = header[:-1]  # an empty column at the right edge, as spreadsheets leave them
    width, widest = len(header), len(numbered[0][1])
    numbers, rows, malformed = [], [], []
    for number, row in numbered[1:]:
        if len(row) in {width, widest}:
            numbers.append(number)
            rows.append(row[:width])
        else:
            hint = " (a name with a comma needs quotation marks)" if len(row) > width else ""
            malformed.append((number, f"{len(row)} cells, the header has {width}{hint}"))
    return Sheet(header, numbers, rows, malformed)
