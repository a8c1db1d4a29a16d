"""What may go wrong around a backend under load, as `--fault` and `[[backend.fault]]` write it: one table, one grammar.

"stall database at 10 s for 2 s": what, where, how much, when, for how long. Knows nothing of how a fault is made.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias, get_args

from simulation.scenario.values import format_duration, parse_duration

Kind: TypeAlias = Literal[
    "latency", "stall", "reset", "half-close", "truncate", "bandwidth", "freeze", "kill", "lock", "fill"
]
Place: TypeAlias = Literal["clients", "database", "service", "tables", "rows"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PLACES: tuple[Place, ...] = get_args(Place)
LINKS: tuple[Place, ...] = ("clients", "database")  # where a proxy can stand
ON_A_LINK: tuple[Kind, ...] = ("latency", "stall", "reset", "half-close", "truncate", "bandwidth")


class Amount(NamedTuple):
    """How much of it: how that is read and shown, and what is meant where nothing is said (None: it has to be)."""

    parse: Callable[[str], int]
    show: Callable[[int], str]
    expected: str
    usual: int | None = None


class Meaning(NamedTuple):
    """A kind of fault, for the parser and for people."""

    places: tuple[Place, ...]
    amount: Amount | None
    is_moment: bool  # without `for` it happens once; the others then last to the end of the load
    says: str


_BYTES = re.compile(r"(\d+(?:\.\d+)?) ?(B|KB|MB)")
_BYTE_UNITS = {"B": 1, "KB": 1000, "MB": 1_000_000}


def _bytes(text: str) -> int:
    match = _BYTES.fullmatch(text)
    found = int(Decimal(match[1]) * _BYTE_UNITS[match[2]]) if match else 0
    if not 1 <= found <= 1_000_000_000_000:
        raise ValueError
    return found


def _show_bytes(count: int) -> str:
    unit = next(unit for unit in ("MB", "KB", "B") if count % _BYTE_UNITS[unit] == 0)
    return f"{count // _BYTE_UNITS[unit]} {unit}"


def _rate(text: str) -> int:
    number, slash, second = text.rpartition("/")
    if slash != "/" or second != "s":
        raise ValueError
    return _bytes(number)


def _positive_duration(text: str) -> int:
    found = parse_duration(text)
    if not found:
        raise ValueError
    return found


_DELAY = Amount(_positive_duration, format_duration, 'a delay such as "50 ms"')
_LENGTH = Amount(_bytes, _show_bytes, 'a length such as "100 B" (B, KB, MB)', 100)
_RATE = Amount(_rate, lambda rate: f"{_show_bytes(rate)}/s", 'a rate such as "500 KB/s" (B/s, KB/s, MB/s)')

MEANINGS: Mapping[Kind, Meaning] = {
    "latency": Meaning(LINKS, _DELAY, False, "Answers come so much later. Requests are not slowed down."),
    "stall": Meaning(
        LINKS,
        None,
        False,
        "Nothing passes, either way. Connections stay open, new ones open and hear nothing; afterwards all that waited "
        "goes on.",
    ),
    "reset": Meaning(
        LINKS,
        None,
        True,
        "Every open connection is cut off at both ends, with what was on its way; for as long as it lasts, every new "
        "one as well.",
    ),
    "half-close": Meaning(
        LINKS,
        None,
        True,
        "The way back of every open connection ends: requests still arrive and are carried out, their answers do not "
        "come; for as long as it lasts, of every new one as well.",
    ),
    "truncate": Meaning(
        LINKS,
        _LENGTH,
        True,
        "The next answer on every open connection breaks off after so many bytes, and with it the connection; for as "
        "long as it lasts, on every new one as well.",
    ),
    "bandwidth": Meaning(
        LINKS, _RATE, False, "One narrow line for all connections together; each way carries so much a second."
    ),
    "freeze": Meaning(
        ("service", "database"),
        None,
        False,
        "Its processes stand still (SIGSTOP): the kernel goes on taking connections for them.",
    ),
    "kill": Meaning(
        ("service", "database"),
        None,
        True,
        "Its processes end at once (SIGKILL), and are started again: at once, or when the time is over.",
    ),
    "lock": Meaning(
        ("tables", "rows"),
        None,
        False,
        "A transaction of somebody else's holds all tables of the database, or the rows of all records. SQLite has one "
        "lock, that of its file: `tables` holds it.",
    ),
    "fill": Meaning(
        ("service", "database"),
        None,
        False,
        "Its processes can write to no file: every write fails, as on a full disk. Made by a limit on the size of "
        "files (RLIMIT_FSIZE): the error is EFBIG, where a full disk says ENOSPC, and what is removed makes no room.",
    ),
}
_GRAMMAR = "KIND PLACE [AMOUNT] [at TIME] [for TIME]"
_WORDS = re.compile(
    r"(?P<kind>\S+)\s+(?P<place>\S+)(?:\s+(?P<amount>(?!at\s|for\s)\S.*?))?"
    r"(?:\s+at\s+(?P<at>\S.*?))?(?:\s+for\s+(?P<for>\S.*?))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, where, how much, when. Times in ms from when load begins."""

    kind: Kind
    place: Place
    amount: int | None = None  # ms, bytes, or bytes a second, by kind
    at: int = 0
    lasts: int | None = None  # None: a moment, or to the end of the load, by kind

    @property
    def is_moment(self) -> bool:
        """Whether it happens once, and is over."""
        return self.lasts is None and MEANINGS[self.kind].is_moment

    @property
    def name(self) -> str:
        """What and where, and how much: "latency clients 50 ms"."""
        amount = MEANINGS[self.kind].amount
        shown = "" if amount is None or self.amount in (None, amount.usual) else f" {amount.show(self.amount or 0)}"
        return f"{self.kind} {self.place}{shown}"

    @property
    def text(self) -> str:
        """As the grammar writes it."""
        at = f" at {format_duration(self.at)}" if self.at else ""
        return self.name + at + (f" for {format_duration(self.lasts)}" if self.lasts is not None else "")


def parse_fault(text: str) -> Fault:
    """The fault that a text names. ValueError says what was expected."""
    match = _WORDS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'{_GRAMMAR}, such as "stall database at 10 s for 2 s"')
    return checked_fault(match["kind"], match["place"], match["amount"], match["at"], match["for"])


def checked_fault(
    kind: str, place: str, amount: str | None = None, at: str | int | None = None, lasts: str | int | None = None
) -> Fault:
    """A fault of its parts, times as texts or in ms. ValueError says what was expected."""
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, 1)
        raise ValueError(f"{_either(KINDS)}" + (f"; did you mean {near[0]!r}?" if near else f", not {kind!r}"))
    meaning = MEANINGS[kind]
    if place not in meaning.places:
        raise ValueError(f"{_either([f'{kind} {one}' for one in meaning.places])}, not {kind} {place}")
    return Fault(
        kind,
        place,
        _amount(kind, place, amount),
        0 if at is None else _time("at", at),
        None if lasts is None else _time("for", lasts, least=1),
    )


def _amount(kind: Kind, place: Place, text: str | None) -> int | None:
    amount = MEANINGS[kind].amount
    if amount is None:
        if text is not None:
            raise ValueError(f"{_GRAMMAR}, and no amount for {kind}, not {text!r}")
        return None
    if text is None:
        if amount.usual is None:
            raise ValueError(f"{amount.expected} after {kind} {place}")
        return amount.usual
    try:
        return amount.parse(text)
    except ValueError:
        raise ValueError(f"{amount.expected} after {kind} {place}, not {text!r}") from None


def _time(word: str, value: str | int, least: int = 0) -> int:
    try:
        found = value if isinstance(value, int) else parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error} after `{word}`, not {value!r}") from None
    if found < least:
        raise ValueError(f"more than 0 s after `{word}`")
    return found


def _either(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]
