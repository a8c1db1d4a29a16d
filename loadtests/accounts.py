"""The sealed list of log-ins, as `caucus backend pins` writes it: who signs in as whom.

A PIN is never printed, logged or put into an error. Knows nothing of HTTP.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from simulation.errors import InputError

COLUMNS = ("user", "role", "site", "pin", "totp_secret")
CHAIR, CLERK, REVIEWER = "chair", "clerk", "reviewer"


@dataclass(frozen=True, slots=True)
class Account:
    """One log-in; its secrets are not shown."""

    user: str
    role: str
    site: str  # of a chair; "" for staff
    pin: str = field(repr=False)
    totp_secret: str = field(default="", repr=False)

    def second_factor(self) -> str:
        """The code of this half minute; "" where none is asked for."""
        if not self.totp_secret:
            return ""
        import pyotp

        return pyotp.TOTP(self.totp_secret).now()


@dataclass(frozen=True)
class Accounts:
    """All log-ins of a list."""

    chairs: dict[str, Account]  # by site
    staff: dict[str, tuple[Account, ...]]  # by role, in the order of the list

    def of(self, role: str) -> tuple[Account, ...]:
        """The staff of a role."""
        return self.staff.get(role, ())

    def by_code(self, codes: Mapping[str, str]) -> Accounts:
        """The same, with sites that the list calls by their ids called by their codes."""
        chairs = [replace(one, site=codes.get(one.site, one.site)) for one in self.chairs.values()]
        return Accounts({one.site: one for one in chairs}, self.staff)

    @classmethod
    def none(cls) -> Accounts:
        """For a run of people who need none."""
        return cls({}, {})


def read_accounts(path: Path) -> Accounts:
    """The log-ins of a list; InputError lists every row that cannot be used."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a CSV file"
        raise InputError(f"--pins {path}: {reason}; `caucus backend pins --out pins.csv` writes the list") from None
    header = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in COLUMNS[:4] if name not in header]
    if missing:
        raise InputError(f"--pins {path}: no column {', '.join(missing)}; expected {','.join(COLUMNS)}")
    problems: list[str] = []
    found = list(_accounts(path, header, rows[1:], problems))
    seen: set[str] = set()
    for account in found:
        if account.user in seen:
            problems.append(f"--pins {path}: user {account.user} is there twice")
        seen.add(account.user)
    if problems:
        raise InputError(problems)
    staff: dict[str, tuple[Account, ...]] = {}
    for account in found:
        if account.role != CHAIR:
            staff[account.role] = (*staff.get(account.role, ()), account)
    return Accounts({account.site: account for account in found if account.role == CHAIR}, staff)


def _accounts(path: Path, header: list[str], rows: list[list[str]], problems: list[str]) -> Iterable[Account]:
    for number, row in enumerate(rows, 2):
        if not any(row):
            continue
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        user, role, site, pin = (cells.get(name, "") for name in COLUMNS[:4])
        if not (user and role and pin) or (role == CHAIR and not site):
            problems.append(f"--pins {path}, row {number}: expected user, role and pin, and for a chair the site")
            continue
        secret = cells.get("totp_secret", "")
        if secret and not _is_totp_secret(secret):
            problems.append(f"--pins {path}, row {number}: totp_secret is not one: expected base32 of 112 bits or more")
            continue
        yield Account(user, role, site, pin, secret)


def _is_totp_secret(text: str) -> bool:
    import pyotp

    try:
        pyotp.TOTP(text).now()
    except ValueError:
        return False
    return True
