"""What a scenario file may say: the contract. Sections, keys, units and their meaning, one class a section.

The library night `baseline` sets every key that has no default here, with its source; the reference page and the JSON
Schema for editors are generated from this file. Knows nothing of how a night is played.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, model_validator

from simulation.scenario.curve import CAPACITY, MEASURED_CURVE, Curve
from simulation.scenario.distributions import (
    CountDistribution,
    DurationDistribution,
    FactorDistribution,
    ShareDistribution,
)
from simulation.scenario.faults import KINDS as FAULT_KINDS
from simulation.scenario.faults import PLACES as FAULT_PLACES
from simulation.scenario.faults import Fault, checked_fault
from simulation.scenario.inject import CARDS, EFFECTS, NIGHTLY, ROLES, Role, parse_condition
from simulation.scenario.values import (
    FACTOR,
    FULL_SHARE,
    HOUR,
    SECOND,
    VALUE_KIND,
    VALUE_KINDS,
    AssumedClock,
    AssumedCount,
    AssumedDuration,
    AssumedFactor,
    AssumedShare,
    Assumption,
    ClockTime,
    Count,
    Duration,
    OptionalClock,
    OptionalCount,
    OptionalDuration,
    OptionalPositive,
    Share,
    format_clock,
)

MOST_STRANGERS = 500_000  # of one window: each is a number below 2**20 in the addresses of his luck
MOST_WINDOWS = 1024  # of nuisance calls: a number below 2**10 in those addresses
MOST_ATTEMPTS = 1000
MOST_AT_WORK = 1_000_000  # operators of a shift, reviewers, readers: a night sets each of them up


class Section(BaseModel):
    """A table of a scenario file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Roster(Section):
    """Where the precincts come from: one of the two."""

    synthesize: Literal["iowa-2020", "iowa-2016"] | None = Field(
        None, description="A state built from published aggregates."
    )
    file: StrictStr | None = Field(None, description="A CSV or Excel file, relative to this scenario file.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.synthesize is None) == (self.file is None):
            raise ValueError("either `synthesize` or `file`")
        return self


class Clock(Section):
    """The times that the rules set."""

    doors: AssumedClock = Field(description="When doors and check-in open.")
    call_to_order: ClockTime = Field(description="Whoever stands in line by then may take part.")
    until: ClockTime = Field(description="When the night is over for the simulation.")
    resolution: Duration = Field(description="The clock's tick: every time is rounded to it. 1 ms unless for tests.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.doors.high <= self.call_to_order < self.until:
            raise ValueError("times in the order doors <= call_to_order < until")
        if self.resolution < 1:
            raise ValueError('a resolution of "1 ms" or more')
        if _rounded(self.until, self.resolution) <= _rounded(self.call_to_order, self.resolution):
            raise ValueError("a resolution that still tells `until` from `call_to_order`: every time is rounded to it")
        return self


def _rounded(at: int, resolution: int) -> int:
    """A time as a clock of this resolution shows it."""
    return (at + resolution // 2) // resolution


class Turnout(Section):
    """How many people come."""

    people: OptionalCount = Field(
        None, description="Rescales every precinct of the roster to this total, by largest remainder."
    )
    spread: FactorDistribution = Field(description="Night to night: one factor for the whole state.")
    local_spread: FactorDistribution = Field(description="Night to night: one factor for each precinct.")


def _weights(value: object) -> dict[str, int]:
    if (
        isinstance(value, dict)
        and 2 <= len(value) <= 20
        and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in value.values())
    ):
        return value
    raise ValueError("a table of 2 to 20 candidates with whole-number weights above 0, such as { clinton = 50 }")


class Preference(Section):
    """Whom people stand for at first alignment."""

    candidates: Annotated[dict[str, int], BeforeValidator(_weights)] = Field(
        description="Statewide weights. A roster's own first_NAME columns override them."
    )
    second: Annotated[dict[str, int] | None, BeforeValidator(_weights)] = Field(
        None,
        description="Statewide weights of second choices: whom people join whose group is not viable. "
        "Without it, or where it names nobody on the ballot: as `candidates`.",
    )
    local_spread: FactorDistribution = Field(description="A precinct's own factor for each candidate.")


class Checkin(Section):
    """The line at the door."""

    arrivals: ShareDistribution = Field(description="When people come, from doors (0) to the call to order (1).")
    stations: OptionalPositive = Field(None, description="Check-in stations of each precinct; overrides the roster's.")
    on_list: DurationDistribution = Field(description="Service time of a person on the list.")
    registering: ShareDistribution = Field(description="A precinct's share of new or changed registrations.")
    registration: DurationDistribution = Field(description="Service time of a new or changed registration.")
    missing_from_list: AssumedShare = Field(
        description="Share not on the list: looked up, sent to the back of the line, then registered."
    )
    look_up: DurationDistribution = Field(description="Service time until a name is given up as missing.")
    wrong_line: AssumedShare = Field(
        description="Share that first stands in another precinct's line, where a building holds several."
    )
    redirect: DurationDistribution = Field(description="Service time until the wrong line is noticed.")


class Forms(Section):
    """Registration forms that run out. Only registrations wait for the reprint."""

    short: AssumedShare = Field(description="Share of the precincts above `above_people` that printed too few.")
    above_people: Count = Field(description="Smaller precincts never run out.")
    printed: ShareDistribution = Field(description="Forms there, as a share of the registrations to come.")
    reprint: DurationDistribution = Field(description="From the last form to a new stack.")


class Room(Section):
    """From call to order to a finished worksheet."""

    move: DurationDistribution = Field(description="Delay when more people come than the room holds.")
    opening: DurationDistribution = Field(description="Call to order, rules, election of the chair.")
    count_per_person: AssumedDuration = Field(description="Time of one count, per person.")
    recount: AssumedShare = Field(description="Share of counts that are repeated although they fit; 3 counts at most.")
    miscount: AssumedShare = Field(description="Share of precincts that count more people than checked in: 3 counts.")
    miscounted_people: CountDistribution = Field(description="How many too many stay in the count all the same.")
    afterwards: DurationDistribution = Field(description="Speeches, delegates elected, worksheet, signatures.")


class Alignment(Section):
    """The groups, by the rules of a year."""

    rules: Literal["2016", "2020", "straw-poll"] = Field(
        description="2020: viable groups are locked, one realignment. 2016: anybody may move, realignment repeats. "
        "straw-poll: a secret ballot, no groups, no delegates; votes are reported."
    )
    first: DurationDistribution = Field(description="First alignment, or the ballot.")
    realignment: DurationDistribution = Field(description="Realignment, all of it.")
    rescue: AssumedShare = Field(
        description="Share of precincts where a group below the threshold is made viable by others, if they suffice."
    )
    leave: AssumedShare = Field(description="Share of the people of groups that are not viable who go home.")
    stuck: AssumedShare = Field(description="Share of them who stay although their group gets nothing.")
    drift: AssumedShare = Field(description="2016 only: share of the people of viable groups who move to another one.")


class Chairs(Section):
    """The volunteers who run the precincts."""

    missing: AssumedShare = Field(description="Share of precincts without a chair: somebody is drafted on the spot.")
    drafted_after: DurationDistribution = Field(description="Delay until somebody takes the chair.")
    untrained: AssumedShare = Field(description="Share of the other chairs who were drafted late and are untrained.")
    slowdown: AssumedFactor = Field(description="How much longer everything takes an untrained chair.")
    late: AssumedShare = Field(description="Share of chairs who come late.")
    late_by: DurationDistribution = Field(description="How late, after the call to order.")
    finds_number: DurationDistribution = Field(description="Until an untrained chair knows whom to call.")
    arithmetic_errors: AssumedShare = Field(
        description="Share of worksheets whose arithmetic is wrong, in precincts of 2 or more delegates."
    )
    untrained_errors: AssumedFactor = Field(description="How much more often an untrained chair errs.")
    silent: AssumedShare = Field(description="Share who never report by themselves: headquarters reaches them.")
    reached: DurationDistribution = Field(description="When headquarters reaches them, after the call to order.")


class Span(Section):
    """A part of the night."""

    start: ClockTime = Field(alias="from", description="Start.")
    end: ClockTime = Field(alias="to", description="End.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.start < self.end:
            raise ValueError('`from` before `to` (the day after is written "+1d 02:00")')
        return self


class Outage(Span):
    """A time in which the app answers nobody."""


class AppBackend(Section):
    """The backend behind the app, as a load test measured it: what it does not answer in time hangs the app."""

    curve: Annotated[Curve | None, MEASURED_CURVE] = Field(
        None,
        description="The `curve.json` of a load test, relative to this scenario file (after `--set`: to the folder you "
        "are in); a run holds its content.",
    )
    capacity: Annotated[int | None, CAPACITY] = Field(
        None, description="As if the backend broke at that load: stretches the curve along the load."
    )
    load: AssumedFactor = Field(
        default_factory=lambda: Assumption(FACTOR, FACTOR),
        description="How many nights like this one lie on it at once: 1 (also without this key) is this night alone.",
    )
    timeout: Duration = Field(10 * SECOND, description='How long the app waits for an answer: without this key "10 s".')
    resends: AssumedCount = Field(
        default_factory=lambda: Assumption(3, 3),
        description="How often the app then sends a request again by itself, one every `timeout`, before it hangs: "
        "without this key 3.",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.curve is not None and self.capacity is not None and self.curve.night_per_s is None:
            raise ValueError("no `capacity`, or a curve with `night_per_s`: it says what one caucus night is")
        if self.timeout < 1:
            raise ValueError('a `timeout` of "1 ms" or more')
        if self.resends.high > MOST_ATTEMPTS:
            raise ValueError(f"no more than {MOST_ATTEMPTS:,} `resends`")
        return self


class App(Section):
    """The reporting app (or an automatic telephone line)."""

    tries: AssumedShare = Field(description="Share of chairs who mean to report by app.")
    installed: AssumedShare = Field(description="Share of those who have it working on their phone.")
    no_signal: AssumedShare = Field(description="Share of precincts without a signal.")
    single_delegate: StrictBool = Field(True, description="Whether the app accepts precincts of one delegate.")
    entry: DurationDistribution = Field(description="From ready to submitted.")
    login_fails: AssumedShare = Field(description="Share of attempts that end at the PIN or log-in.")
    submit_fails: AssumedShare = Field(description="Share of attempts that end in an error at submission.")
    hang: DurationDistribution = Field(description="Time lost on an attempt that fails.")
    attempts: AssumedCount = Field(description="Attempts before a chair gives the app up.")
    retry: DurationDistribution = Field(description="From a failed attempt to the next one.")
    asks_for_help: AssumedShare = Field(description="Share whom the app failed who call the hotline for help.")
    help_after: DurationDistribution = Field(
        description="When a chair whose app was never working calls for help, after the doors open."
    )
    help_solves: AssumedShare = Field(description="Share of help calls after which log-in and submission work.")
    lost: AssumedShare = Field(description="Share of reports that the app acknowledges and headquarters never sees.")
    outages: list[Outage] = Field(description="Times in which every attempt fails.")
    backend: AppBackend | None = None

    @model_validator(mode="after")
    def _some_attempts(self) -> Self:
        if not 1 <= self.attempts.low <= self.attempts.high <= MOST_ATTEMPTS:
            raise ValueError(f"1 to {MOST_ATTEMPTS} attempts")
        return self


class Shift(Span):
    """Operators on duty for a time. Overlapping shifts add up; a shift that ends lets its calls finish."""

    count: AssumedCount = Field(description="Operators.")

    @model_validator(mode="after")
    def _payable(self) -> Self:
        if self.count.high > MOST_AT_WORK:
            raise ValueError(f"no more than {MOST_AT_WORK:,} operators")
        return self


class Nuisance(Span):
    """Calls that are not from chairs, for a time."""

    calls_per_hour: AssumedCount = Field(description="New callers an hour (a Poisson process).")

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.calls_per_hour.high * (self.end - self.start) > MOST_STRANGERS * HOUR:
            raise ValueError(f"no more than {MOST_STRANGERS:,} new callers in all")
        return self


class Handling(Section):
    """How long operators are busy with a call."""

    report: DurationDistribution = Field(description="A report, read aloud number by number.")
    help: DurationDistribution = Field(description="A chair whom the app failed.")
    nuisance: DurationDistribution = Field(description="Hang-ups, abuse, questions.")
    callback: DurationDistribution = Field(description="A call out to a chair.")


class Patience(Section):
    """How long callers hold before they hang up."""

    chairs: DurationDistribution = Field(description="Chairs with a report.")
    others: DurationDistribution = Field(description="Chairs who want help, and nuisance callers.")


class Redial(Section):
    """What callers do who did not get through."""

    after_busy: AssumedShare = Field(description="Share who dial again after a busy tone.")
    busy_wait: DurationDistribution = Field(description="Until they do.")
    until_morning: AssumedShare = Field(description="Share who, after hanging up, leave it for the morning.")
    hold_wait: DurationDistribution = Field(description="Until the others dial again.")
    nuisance: AssumedShare = Field(description="Share of nuisance callers who call again after a call.")
    nuisance_wait: DurationDistribution = Field(description="Until they do.")

    @model_validator(mode="after")
    def _dialing_takes_time(self) -> Self:
        for name in ("busy_wait", "hold_wait", "nuisance_wait"):
            if getattr(self, name).corners.max(axis=-1).min() < SECOND:
                raise ValueError(f'`{name}` that can be "1 s" or longer: callers who dial without a pause never end')
        return self


def _lines(value: object) -> int:
    if value == "unlimited":
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1_000_000:
        return value
    raise ValueError('a number of lines, 1 or more, or "unlimited"')


class Hotline(Section):
    """The telephone line: callers wait in the order of their calls; a caller without a line hears a busy tone."""

    lines: Annotated[int, BeforeValidator(_lines)] = Field(
        description='Lines, waiting calls included; "unlimited" (held as 0).',
        json_schema_extra={"type": ["integer", "string"], "minimum": 1},
    )
    operators: list[Shift] = Field(description="Shifts. `--set hotline.operators=80` sets the count of every shift.")
    handling: Handling
    silent: AssumedShare = Field(description="Share of answered calls with nobody at the other end.")
    silent_for: DurationDistribution = Field(description="Until the operator hangs up; the caller queues again.")
    patience: Patience
    redial: Redial
    nuisance: list[Nuisance] = Field(description="Nuisance calls by time.")
    block_after: OptionalCount = Field(None, description="Nuisance callers are blocked after so many answered calls.")

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if len(self.nuisance) > MOST_WINDOWS:
            raise ValueError(f"no more than {MOST_WINDOWS:,} windows in `nuisance`")
        return self


class Inbox(Section):
    """A side channel: texted or photographed worksheets, read by people."""

    chairs: AssumedShare = Field(description="Share of chairs who turn to it when the hotline fails them.")
    opens: ClockTime = Field(description="When somebody starts to read.")
    readers: Count = Field(description="People who read; 0: nobody ever does.")
    reading: DurationDistribution = Field(description="Time per message.")

    @model_validator(mode="after")
    def _payable(self) -> Self:
        if self.readers > MOST_AT_WORK:
            raise ValueError(f"no more than {MOST_AT_WORK:,} `readers`")
        return self


class HandDelivery(Section):
    """Results of chairs who gave up for the night, and paper."""

    arrives: DurationDistribution = Field(description="When such a result comes in, after the call to order.")
    lost: AssumedShare = Field(
        description="Share of the results of chairs who neither call nor use the app that never arrive."
    )


class KeyingErrors(Section):
    """Errors made where numbers are typed, per field, and what kinds they are of."""

    app: AssumedShare = Field(description="Share of fields wrong when the chair types them himself.")
    phone: AssumedShare = Field(description="Share of fields wrong when spoken, written down and typed.")
    inbox: AssumedShare = Field(description="Share of fields wrong when typed from a photo.")
    column_shift: Share = Field(description="Weight of columns shifted by one.")
    digit_slip: Share = Field(description="Weight of a wrong digit or two digits swapped.")
    swapped: Share = Field(description="Weight of first and final alignment swapped.")
    wrong_precinct: Share = Field(description="Weight of another precinct's numbers.")
    omission: Share = Field(description="Weight of a number left out.")

    @property
    def weights(self) -> tuple[int, ...]:
        """The weights of the kinds, in the order of `night.records`."""
        return self.column_shift, self.digit_slip, self.swapped, self.wrong_precinct, self.omission

    @model_validator(mode="after")
    def _some_kind(self) -> Self:
        if not any(self.weights):
            raise ValueError("a weight above 0 for one kind of error or more")
        return self


class Release(Section):
    """When the public sees what headquarters holds."""

    hold_from: OptionalClock = Field(None, description="From then on nothing is released ...")
    until: OptionalClock = Field(None, description="... until then.")
    worksheet: DurationDistribution = Field(
        description="During and after a hold: when the paper of a precinct is checked, after the call to order. "
        "Zero where no paper is asked for."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.hold_from is None) != (self.until is None):
            raise ValueError("both `hold_from` and `until`, or neither")
        if self.hold_from is not None and self.until is not None and self.hold_from >= self.until:
            raise ValueError("`hold_from` before `until`")
        return self


class Headquarters(Section):
    """What happens to a report once it is in."""

    checks: StrictBool = Field(True, description="Whether each record is checked by the rules when it comes in.")
    reviewers: AssumedCount = Field(description="People at the review desk for records that the checks stop.")
    review: DurationDistribution = Field(description="Time per record at the review desk.")
    wrong_correction: AssumedShare = Field(
        description="Share of reviewed worksheets with an error of the chair that headquarters makes worse."
    )
    callbacks: AssumedShare = Field(description="Share of reports after which a chair is called back needlessly.")
    keying: KeyingErrors
    release: Release

    @model_validator(mode="after")
    def _payable(self) -> Self:
        if self.reviewers.high > MOST_AT_WORK:
            raise ValueError(f"no more than {MOST_AT_WORK:,} `reviewers`")
        return self


class Costs(Section):
    """What a night costs in dollars. Nothing that happens depends on it."""

    operator_hour: AssumedCount = Field(description="Dollars for an hour of an operator on duty.")
    station: AssumedCount = Field(description="Dollars for a check-in station: its table, lists, forms and signs.")
    reviewer_hour: AssumedCount = Field(description="Dollars for an hour of work at the review desk.")


BackendFault = Literal[
    "partial_published", "acknowledges_before_write", "chain_per_row", "no_idempotency", "unbounded_queue"
]


class LoadFault(Section):
    """What goes wrong around the backend while `caucus loadtest` loads it. The simulation knows nothing of it."""

    kind: StrictStr = Field(description="What: " + ", ".join(f"`{kind}`" for kind in FAULT_KINDS) + ": see faults.md.")
    place: StrictStr = Field(description="Where: " + ", ".join(f"`{place}`" for place in FAULT_PLACES) + ".")
    amount: StrictStr | None = Field(
        None, description='How much, of the kinds that have an amount: `"50 ms"`, `"500 KB/s"`, `"100 B"`.'
    )
    at: Duration = Field(0, description="When, from the beginning of the load.")
    lasts: OptionalDuration = Field(
        None, alias="for", description="For how long; without it a moment, or to the end of the load, by kind."
    )

    @property
    def fault(self) -> Fault:
        """What `--fault` makes of the same in a line."""
        return checked_fault(self.kind, self.place, self.amount, self.at, self.lasts)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _ = self.fault
        return self


class Backend(Section):
    """The reporting service that `caucus backend` runs on this night."""

    faults: list[BackendFault] = Field(
        default_factory=list,
        description="What is wrong with it, as history had it: figures published that nobody released, writes "
        "acknowledged before they are stored, an audit link for every row, repeats stored twice, an endless queue.",
    )
    fault: list[LoadFault] = Field(
        default_factory=list, description="What goes wrong around it under load, as `caucus loadtest --fault` has it."
    )
    objectives: list[StrictStr] = Field(
        default_factory=list,
        description='What it has to keep to under load where no `--objective` is given: `"p99(latency) < 2 s"`; see '
        "load-tests.md. Read by `caucus loadtest` alone.",
    )


class Inject(Section):
    """Something thrown at a rehearsal's people: at a time, when something is reached, or at the trainer's click."""

    at: OptionalClock = Field(None, description="When.")
    when: StrictStr | None = Field(
        None, description='Or on which condition: `"aligned >= 50%"`, `"when half have aligned"`, `"waiting >= 10"`.'
    )
    uses: StrictStr | None = Field(
        None,
        description="A card of the catalog, for what is not said here: " + ", ".join(f"`{c}`" for c in CARDS) + ".",
    )
    does: StrictStr | None = Field(
        None,
        description="What happens beside the message: "
        + ", ".join(f"`{effect}`" for effect in EFFECTS)
        + ". With `at` and for everybody, a simulated night has "
        + " and ".join(f"`{effect}`" for effect in NIGHTLY)
        + ", too; all else happens in rehearsals only.",
    )
    data: dict[str, int] = Field(
        default_factory=dict,
        description="Its numbers: `minutes`, and `calls_per_hour` of calls or `percent` of operators.",
    )
    share: Share = Field(
        FULL_SHARE, description="For so many of those whom it could be for, by lot; a card's own share is not used."
    )
    roles: list[Role] = Field(
        default_factory=list,
        description=f"For whom: {', '.join(ROLES)}. Empty: those of the card that it `uses`, else the chairs.",
    )
    title: StrictStr | None = Field(None, description="Its name in the trainer's deck.")
    message: StrictStr | None = Field(None, description="What people are told.")
    expected: StrictStr | None = Field(None, description="What they should do.")
    objective: StrictStr | None = Field(None, description="What it teaches.")
    note: StrictStr | None = Field(None, description="For the trainer alone.")

    @property
    def is_nightly(self) -> bool:
        """Whether a simulated night has it too."""
        return self.at is not None and self.when is None and self.share == FULL_SHARE and self.effect in NIGHTLY

    @property
    def effect(self) -> str | None:
        """What happens, as far as a simulated night can know it."""
        return self.does or ("nuisance_calls" if self.uses == "number-leaked" else None)

    def end(self, otherwise_minutes: int) -> int:
        """When what it does is over."""
        return (self.at or 0) + self.data.get("minutes", otherwise_minutes) * 60 * SECOND

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.at is not None and self.when is not None:
            raise ValueError("`at` or `when`, not both")
        if self.when is not None:
            parse_condition(self.when)
        if self.uses is not None and self.uses not in CARDS:
            raise ValueError(f"`uses`: one of {', '.join(CARDS)}")
        if self.does is not None and self.does not in EFFECTS:
            raise ValueError(f"`does`: one of {', '.join(EFFECTS)}")
        if self.uses is None and (self.title is None or self.message is None):
            raise ValueError("a card that it `uses`, or a `title` and a `message` of its own")
        if self.data.keys() - {"minutes", "calls_per_hour", "percent"} or not all(
            0 < value <= 100_000 for value in self.data.values()
        ):
            raise ValueError("`data`: minutes, calls_per_hour and percent, each a whole number from 1 to 100,000")
        return self


class HistoryPoint(Section):
    """One published figure of a real night."""

    at: ClockTime = Field(description="When.")
    share: Share = Field(description="Share of all sites.")
    source: StrictStr | None = Field(None, description="Who published it.")


class HoldPoint(Section):
    """How long the callers who were answered at that time had been on hold."""

    at: ClockTime = Field(description="When they were answered.")
    hold: Duration = Field(description="How long they had waited.")
    source: StrictStr | None = Field(None, description="Who said so.")


class History(Section):
    """What really happened, where the scenario claims a real night: shown beside the forecast, never used by it."""

    reported: list[HistoryPoint] = Field(default_factory=list, description="Held by headquarters.")
    released: list[HistoryPoint] = Field(default_factory=list, description="Published.")
    holds: list[HoldPoint] = Field(default_factory=list, description="Waits on the hotline.")


def _seed(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32:
        return value
    raise ValueError("a whole number from 0 to 4294967295")


class Run(Section):
    """Written by `caucus simulate` into run.toml, so that the file alone repeats the run."""

    scenario: StrictStr | None = Field(None, description="The night's name, where the file is not named after it.")
    seed: Annotated[int, BeforeValidator(_seed)] = Field(description="The seed.")
    nights: Count = Field(description="How many nights.")
    fixed: StrictBool = Field(False, description="Whether assumptions were held at their middle.")
    engine: Literal["compiled", "simpy"] = Field("compiled", description="The engine that played them.")
    roster: StrictStr | None = Field(None, description="SHA-256 of the roster's rows.")
    versions: dict[str, str] = Field(default_factory=dict, description="What shaped the result: code and packages.")


class Spec(Section):
    """A caucus night."""

    title: StrictStr = Field(description="A short title.")
    story: StrictStr = Field(description="What happens in this night, in a sentence or two.")
    sources: list[StrictStr] = Field(default_factory=list, description="Where the story and its numbers come from.")
    roster: Roster
    clock: Clock
    turnout: Turnout
    preference: Preference
    checkin: Checkin
    forms: Forms
    room: Room
    alignment: Alignment
    chairs: Chairs
    app: App
    hotline: Hotline
    inbox: Inbox
    hand_delivery: HandDelivery
    headquarters: Headquarters
    costs: Costs
    backend: Backend = Field(default_factory=Backend)
    history: History = Field(default_factory=History)
    inject: list[Inject] = Field(default_factory=list, description="What is thrown at the people of a rehearsal.")
    run: Run | None = None

    @model_validator(mode="after")
    def _injects_of_a_night(self) -> Self:
        """What an inject does to the app or the hotline of every night is written down as any other outage or call."""
        for one in self.inject:
            if not one.is_nightly:
                continue
            down = one.effect == "app_down"
            span = {"from": format_clock(one.at or 0), "to": format_clock(one.end(30 if down else 120))}
            if down:
                self.app.outages.append(Outage.model_validate(span))
            else:
                calls = {"calls_per_hour": one.data.get("calls_per_hour", 150)}
                self.hotline.nuisance.append(Nuisance.model_validate({**span, **calls}))
        return self


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file for editors: what `extends` leaves out is never required."""
    schema: dict[str, Any] = _with_shared_kinds(Spec.model_json_schema(by_alias=True))
    schema["$defs"].update((kind.name.replace(" ", "-"), kind.json_schema()) for _, kind in sorted(VALUE_KINDS.items()))
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "The night that this one builds on: a library night, or a path relative to this file. "
        "Without it: baseline.",
    }
    # written whole, never extended
    lists = {"Outage", "Shift", "Nuisance", "LoadFault", "Inject", "HistoryPoint", "HoldPoint", "Run"}
    for name, table in (("", schema), *schema["$defs"].items()):
        if name not in lists:
            table.pop("required", None)
    schema["required"] = ["title", "story"]
    return schema


def _with_shared_kinds(node: Any) -> Any:
    """Point every value of a kind at that kind's one definition."""
    if isinstance(node, list):
        return [_with_shared_kinds(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _with_shared_kinds(item) for key, item in node.items() if key != VALUE_KIND}
    if VALUE_KIND in node:
        found["$ref"] = f"#/$defs/{node[VALUE_KIND].replace(' ', '-')}"
    return found
