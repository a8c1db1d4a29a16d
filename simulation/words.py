"""Numbers as a planner reads them: shares, clock times, durations, and the range that a forecast puts beside each.

Text only; knows nothing of what the numbers mean. None stands for "never, as far as the simulation looks".
"""

from __future__ import annotations

from simulation.scenario.values import DAY, HOUR, MINUTE

DASH = "\N{EN DASH}"
JOINED = "\N{NO-BREAK SPACE}"  # between words of one time or duration
THIN = "\N{NARROW NO-BREAK SPACE}"  # between a number and its unit: they never part at the end of a line
MINUS = "\N{MINUS SIGN}"
NIGHT_ENDS = DAY + 6 * HOUR  # 02:30 belongs to the night for everybody who is awake then; 06:00 is the next day
COUNT_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DAYS = ("", "the next day", "two days later", "three days later")
BRIEF_DAYS = ("", "next day", "2 days later", "3 days later")


def number(count: int) -> str:
    """A whole number with its thousands apart."""
    return f"{count:,}"


def plural(count: int, singular: str, several: str | None = None) -> str:
    """A count and its noun."""
    return f"{number(count)} {singular if count == 1 else several or singular + 's'}"


def spelled(count: int) -> str:
    """Small counts as words, as in running text."""
    return COUNT_WORDS[count] if 0 <= count < len(COUNT_WORDS) else number(count)


def capitalized(text: str) -> str:
    """The text with its first letter large, the rest as it is."""
    return text[:1].upper() + text[1:]


def site_name(county: str, precinct: str) -> str:
    """A precinct as people call it: with its county, where its own name does not say so."""
    return precinct if county in precinct else f"{precinct}, {county}"


def plain(text: str) -> str:
    """The text with ordinary blanks only, for terminals and programs."""
    return text.replace(THIN, " ").replace(JOINED, " ")


def percent(share: float) -> str:
    """A share of 1: whole percent, tenths near 0 and 1, and never 0 % or 100 % for what is neither."""
    return _percent_digits(share) + THIN + "%"


def percent_range(low: float, high: float) -> str:
    """Two shares of 1 with one sign."""
    digits = _percent_digits(low), _percent_digits(high)
    return percent(low) if digits[0] == digits[1] else DASH.join(digits) + THIN + "%"


def _percent_digits(share: float) -> str:
    if share in (0, 1):
        return f"{share * 100:.0f}"
    if share < 0.001:
        return "<0.1"
    if share > 0.999:
        return ">99.9"
    if 0.02 <= share < 0.98:
        return f"{share * 100:.0f}"
    return f"{share * 100:.1f}".removesuffix(".0")


def duration(ms: int) -> str:
    """Milliseconds to the minute; below one minute says so."""
    if ms <= 0:
        return f"0{THIN}min"
    if ms < MINUTE:
        return f"under 1{THIN}min"
    minutes = (ms + MINUTE // 2) // MINUTE
    if minutes < 60:
        return f"{minutes}{THIN}min"
    hours, rest = divmod(minutes, 60)
    return f"{hours}{THIN}h" + (f"{JOINED}{rest}{THIN}min" if rest else "")


def duration_range(low: int, high: int) -> str:
    """Two durations; the unit once where both have the same one."""
    first, second = duration(low), duration(high)
    if first == second:
        return first
    unit = f"{THIN}min"
    if second.endswith(unit) and "h" not in second and first.endswith(unit) and "under" not in first:
        first = first.removesuffix(unit)
    return (
        f"{first}{DASH}{second}"
        if not any(mark in first + second for mark in (JOINED, "under"))
        else f"{first} to {second}"
    )


def clock(at: int | None, *, brief: bool = False) -> str:
    """Milliseconds since midnight of caucus day as a clock time; the day is named where it is not the same night."""
    if at is None:
        return "never"
    time, day = clock_and_day(at, brief=brief)
    return f"{time} {day}".replace(" ", JOINED) if brief and day else f"{time} {day}".rstrip()


def clock_and_day(at: int, *, brief: bool = False) -> tuple[str, str]:
    """HH:MM and the day that people would name: none for the night of the caucus."""
    minutes = at // MINUTE
    day = 0 if at < NIGHT_ENDS else at // DAY
    names = BRIEF_DAYS if brief else DAYS
    return f"{minutes % (24 * 60) // 60:02d}:{minutes % 60:02d}", names[day] if day < len(
        names
    ) else f"{day} days later"


def clock_range(low: int | None, high: int | None, *, brief: bool = False) -> str:
    """Two clock times; the day once where both have the same one."""
    if low is None:
        return "never"
    if high is None:
        return f"{clock(low, brief=brief)} to never"
    (first, first_day), (second, second_day) = clock_and_day(low), clock_and_day(high)
    if (first, first_day) == (second, second_day):
        return clock(low, brief=brief)
    if first_day == second_day:
        return f"{first}{DASH}{clock(high, brief=brief)}"
    return f"{clock(low, brief=brief)} to {clock(high, brief=brief)}"
