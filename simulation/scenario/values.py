"""The values a scenario file may hold: clock times, durations, shares, assumptions drawn once a night.

Everything becomes an integer when it is read: milliseconds since midnight of caucus day, milliseconds, shares in units
of 2**-32, factors in millionths. Knows nothing of scenario sections or of the night.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FULL_SHARE = 1 << 32  # a share of 1
FACTOR = 1_000_000  # a factor of 1

LONGEST = 20 * DAY  # later times would overflow the interpolation of quantile tables
_UNITS = {"ms": 1, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}
_CLOCK = re.compile(r"(?:\+(\d{1,2})d )?(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|h|d)")


def parse_clock(value: object) -> int:
    """A clock string ("19:00", "+1d 16:00:30") as milliseconds since midnight of caucus day."""
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match:
        day, hour, minute, second = (int(part or 0) for part in match.groups())
        at = day * DAY + hour * HOUR + minute * MINUTE + second * SECOND
        if hour < 24 and minute < 60 and second < 60 and at <= LONGEST:
            return at
    raise ValueError('a clock time such as "19:00", or "+1d 16:00" for the day after (at most "+20d 00:00")')


def format_clock(at: int) -> str:
    """The clock string of milliseconds since midnight of caucus day; seconds only where they are not zero."""
    day, rest = divmod(at, DAY)
    hour, minute, second = rest // HOUR, rest % HOUR // MINUTE, rest % MINUTE // SECOND
    text = f"{hour:02d}:{minute:02d}" + (f":{second:02d}" if second else "")
    return f"+{day}d {text}" if day else text


def parse_duration(value: object) -> int:
    """A duration with its unit ("45 s", "1.5 h") as milliseconds."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match:
        duration = _rounded(Decimal(match[1]) * _UNITS[match[2]])
        if duration <= LONGEST:
            return duration
    raise ValueError('a duration with its unit such as "45 s", "12 min" or "1.5 h" (ms, s, min, h, d; at most 20 d)')


def format_duration(duration: int) -> str:
    """The shortest exact duration string of milliseconds."""
    for unit in ("d", "h", "min", "s"):
        if duration >= _UNITS[unit] and duration % _UNITS[unit] == 0:
            return f"{duration // _UNITS[unit]} {unit}"
    return f"{duration} ms"


def parse_share(value: object) -> int:
    """A share between 0 and 1 in units of 2**-32."""
    number = _decimal(value)
    if number is None or not 0 <= number <= 1:
        raise ValueError("a share between 0 and 1, such as 0.2")
    return _rounded(number * FULL_SHARE)


def parse_factor(value: object) -> int:
    """A positive factor in millionths."""
    number = _decimal(value)
    if number is None or not 0 < number <= 1000:
        raise ValueError("a factor above 0 and up to 1000, such as 1.3")
    return _rounded(number * FACTOR)


def parse_count(value: object) -> int:
    """A whole number of people, calls or operators."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000_000:
        raise ValueError("a whole number, 0 or more")
    return value


def parse_positive(value: object) -> int:
    """A whole number of what there must be one of at least."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number, 1 or more")
    return parse_count(value)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _rounded(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_HALF_EVEN))


@dataclass(slots=True)
class Assumption:
    """A number that we may not know: drawn evenly from low .. high once a night, by the address of its `key`.

    `low` equals `high` where it is known. `key` is its dotted name in the scenario, set when the scenario is loaded.
    """

    low: int
    high: int
    source: str | None = None
    key: str = ""

    @property
    def is_known(self) -> bool:
        return self.low == self.high

    @property
    def middle(self) -> int:
        return self.at(1 << 31)

    def at(self, random_bits: int) -> int:
        """The value at random_bits / 2**32 of the way from low to high, each integer from end to end equally likely."""
        return self.low + ((self.high - self.low + 1) * random_bits >> 32)


def read_assumption(value: object, parse: Callable[[object], int]) -> Assumption:
    """A plain value, `{ value, source }`, or `{ low, high, source }`."""
    if not isinstance(value, dict):
        known = parse(value)
        return Assumption(known, known)
    source = value.get("source")
    if source is not None and not isinstance(source, str):
        raise ValueError("source: a text that says where the number comes from")
    keys = set(value) - {"source"}
    if keys == {"value"}:
        known = parse(value["value"])
        return Assumption(known, known, source)
    if keys == {"low", "high"}:
        low, high = parse(value["low"]), parse(value["high"])
        if low > high:
            raise ValueError("a range whose low is not above its high")
        return Assumption(low, high, source)
    raise ValueError('a value, { value, source = "..." } or a range { low, high, source = "..." }')


@dataclass(frozen=True, slots=True)
class Unit:
    """How a kind of value is parsed, and how an editor's schema describes it."""

    name: str
    parse: Callable[[object], int]
    schema: dict[str, Any]


_CLOCK_SCHEMA = {"type": "string", "pattern": r"^(\+\d{1,2}d )?\d{1,2}:\d{2}(:\d{2})?$"}
_DURATION_SCHEMA = {"type": "string", "pattern": r"^\d+(\.\d+)? ?(ms|s|min|h|d)$"}
CLOCK = Unit("clock time", parse_clock, _CLOCK_SCHEMA)
DURATION = Unit("duration", parse_duration, _DURATION_SCHEMA)
SHARE = Unit("share", parse_share, {"type": "number", "minimum": 0, "maximum": 1})
FACTOR_UNIT = Unit("factor", parse_factor, {"type": "number", "exclusiveMinimum": 0, "maximum": 1000})
COUNT = Unit("count", parse_count, {"type": "integer", "minimum": 0})
POSITIVE = Unit("positive count", parse_positive, {"type": "integer", "minimum": 1})


VALUE_KIND = "x-value-kind"  # marks, in a generated schema, where a shared definition belongs
VALUE_KINDS: dict[str, Plain] = {}  # the kinds met while a schema was generated, by name


class Plain:
    """Pydantic annotation: one value of a unit, as an integer."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit

    def read(self, value: object) -> Any:
        return self.unit.parse(value)

    def json_schema(self) -> JsonSchemaValue:
        return dict(self.unit.schema)

    @property
    def name(self) -> str:
        return self.unit.name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        VALUE_KINDS[self.name] = self
        return {VALUE_KIND: self.name}


class Optional(Plain):
    """Pydantic annotation: one value of a unit, or "none", which also unsets the key of an extended scenario."""

    def read(self, value: object) -> Any:
        if value is None or value == "none":
            return None
        try:
            return self.unit.parse(value)
        except ValueError as error:
            raise ValueError(f'{error}, or "none"') from None

    def json_schema(self) -> JsonSchemaValue:
        return {"anyOf": [self.unit.schema, {"const": "none"}]}

    @property
    def name(self) -> str:
        return f"{self.unit.name} or none"


class Assumed(Plain):
    """Pydantic annotation: a value of a unit, or a range of it that is drawn once a night."""

    def read(self, value: object) -> Assumption:
        return read_assumption(value, self.unit.parse)

    def json_schema(self) -> JsonSchemaValue:
        return assumption_schema(self.unit)

    @property
    def name(self) -> str:
        return f"{self.unit.name} or range"


def assumption_schema(unit: Unit) -> JsonSchemaValue:
    """The JSON Schema of a value of `unit` or a range of it."""
    source = {"type": "string"}
    return {
        "anyOf": [
            unit.schema,
            {
                "type": "object",
                "properties": {"low": unit.schema, "high": unit.schema, "source": source},
                "required": ["low", "high"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {"value": unit.schema, "source": source},
                "required": ["value"],
                "additionalProperties": False,
            },
        ]
    }


ClockTime = Annotated[int, Plain(CLOCK)]
Duration = Annotated[int, Plain(DURATION)]
Share = Annotated[int, Plain(SHARE)]
Count = Annotated[int, Plain(COUNT)]
OptionalClock = Annotated[int | None, Optional(CLOCK)]
OptionalDuration = Annotated[int | None, Optional(DURATION)]
OptionalCount = Annotated[int | None, Optional(COUNT)]
OptionalPositive = Annotated[int | None, Optional(POSITIVE)]
AssumedClock = Annotated[Assumption, Assumed(CLOCK)]
AssumedDuration = Annotated[Assumption, Assumed(DURATION)]
AssumedShare = Annotated[Assumption, Assumed(SHARE)]
AssumedFactor = Annotated[Assumption, Assumed(FACTOR_UNIT)]
AssumedCount = Annotated[Assumption, Assumed(COUNT)]
