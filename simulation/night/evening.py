"""The evening of chairs, app, hotline and headquarters: one coupled event loop, as SimPy processes.

Each chair opens the caucus, runs the room, signs the worksheet and reports: by app, by telephone, by a photographed
worksheet, the morning after, or when headquarters asks.
"""

from __future__ import annotations

from collections.abc import Generator

from simpy import Event

from simulation.night.clock import Clock
from simulation.night.events import HOTLINE, EventLog
from simulation.night.headquarters import Desk, Headquarters
from simulation.night.hotline import Calling, Hotline, Outcome
from simulation.night.order import Call, Channel, Kind, Rank, Stream
from simulation.night.records import FINAL, FIRST
from simulation.night.rooms import Room
from simulation.night.setting import Setting
from simulation.randomness import Integers, chance, place_id, quantile
from simulation.rules.viability import is_viable
from simulation.scenario.values import FACTOR, HOUR

Process = Generator[Event, object, None]
Asking = Generator[Event, object, Outcome]
Trying = Generator[Event, object, bool]

NUISANCE_PLACE = place_id("hotline nuisance")
_NUISANCE_ENTITY = 1 << 32  # entities below are sites
_CALLBACK_ENTITY = 1 << 33
_HELP_ENTITY = 1 << 34  # somebody else at the precinct may call while the chair is busy


class Evening:
    """All chairs of a night. Arrays and lists are by site; times in ms, -1 where it did not come to that."""

    def __init__(self, clock: Clock, setting: Setting, line_gone_at: Integers, log: EventLog | None) -> None:
        spec, luck = setting.spec, setting.luck
        self.clock = clock
        self.setting = setting
        self.luck = luck
        self.log = log
        self.line_gone_at = line_gone_at
        self.started_at = [-1] * setting.sites
        self.ready_at = [-1] * setting.sites
        self.app_attempts = [0] * setting.sites
        self.messages = 0
        self.headquarters = Headquarters(clock, setting, log)
        self.hotline = Hotline(
            clock,
            spec.hotline.lines,
            [(luck.ticks(s.start), luck.ticks(s.end), luck.value(s.count)) for s in spec.hotline.operators],
            log,
        )
        self.inbox = Desk(clock, 0)
        if spec.inbox.readers:
            readers = spec.inbox.readers
            clock.call_at(luck.ticks(spec.inbox.opens), Rank.MESSAGE_READ, 0, 0, lambda: self.inbox.open(readers))
        self._draw_assumptions()
        for site in range(setting.sites):
            clock.process(self._chair(site))
            clock.process(self._asks_about_installing(site, int(setting.roster.places[site])))
        for window in range(len(spec.hotline.nuisance)):
            self._nuisance(window)

    def _draw_assumptions(self) -> None:
        """Tonight's shares and quantile tables, drawn once."""
        luck, app, chairs, line = self.luck, self.setting.spec.app, self.setting.spec.chairs, self.setting.spec.hotline
        self._silent, self._reached = luck.value(chairs.silent), luck.table(chairs.reached)
        self._finds_number = luck.table(chairs.finds_number)
        self._tries, self._installed = luck.value(app.tries), luck.value(app.installed)
        self._no_signal, self._lost = luck.value(app.no_signal), luck.value(app.lost)
        self._login_fails, self._submit_fails = luck.value(app.login_fails), luck.value(app.submit_fails)
        self._attempts = luck.value(app.attempts)
        self._asks_for_help, self._help_solves = luck.value(app.asks_for_help), luck.value(app.help_solves)
        self._entry, self._hang, self._retry = luck.table(app.entry), luck.table(app.hang), luck.table(app.retry)
        self._help_after = luck.table(app.help_after)
        self._outages = [(luck.ticks(o.start), luck.ticks(o.end)) for o in app.outages]
        talk, redial = line.handling, line.redial
        self._handling = {
            Call.REPORT: luck.table(talk.report),
            Call.HELP: luck.table(talk.help),
            Call.NUISANCE: luck.table(talk.nuisance),
            Call.CALLBACK: luck.table(talk.callback),
        }
        self._silent_call, self._silent_for = luck.value(line.silent), luck.table(line.silent_for)
        patient, others = luck.table(line.patience.chairs), luck.table(line.patience.others)
        self._patience = {Call.REPORT: patient, Call.CALLBACK: patient, Call.HELP: others, Call.NUISANCE: others}
        self._after_busy, self._busy_wait = luck.value(redial.after_busy), luck.table(redial.busy_wait)
        self._until_morning, self._hold_wait = luck.value(redial.until_morning), luck.table(redial.hold_wait)
        self._nuisance_again, self._nuisance_wait = luck.value(redial.nuisance), luck.table(redial.nuisance_wait)
        self._to_inbox, self._reading = (
            luck.value(self.setting.spec.inbox.chairs),
            luck.table(self.setting.spec.inbox.reading),
        )
        self._by_hand = luck.table(self.setting.spec.hand_delivery.arrives)
        self._result_lost = luck.value(self.setting.spec.hand_delivery.lost)
        self._callbacks = luck.value(self.setting.spec.headquarters.callbacks)

    # The room

    def _chair(self, site: int) -> Process:
        """From the call to order to a result at headquarters."""
        room = self.setting.rooms[site]
        record = self.setting.true_records[site]
        start = max(int(self.line_gone_at[site]), room.chair_there) + room.move
        yield self.clock.at(start, Rank.ROOM, site, 0)
        self.started_at[site] = start
        self._tell(Kind.CALLED_TO_ORDER, site, 0, int(self.setting.people[site]))
        yield self.clock.after(room.opening + room.counts * room.one_count, Rank.ROOM, site, 1)
        self._tell(Kind.COUNTED, site, 1, room.counted)
        yield self.clock.after(room.first, Rank.ROOM, site, 2)
        viable, somebody_realigns = self._viability(site, room)
        self._tell(Kind.ALIGNED, site, 2, viable)
        if somebody_realigns:
            yield self.clock.after(room.realignment, Rank.ROOM, site, 3)
            self._tell(Kind.REALIGNED, site, 3, int(record[FINAL].sum()))
        yield self.clock.after(room.afterwards, Rank.ROOM, site, 4)
        self.ready_at[site] = int(self.clock.now)
        self._tell(Kind.READY, site, 4, int(self.setting.worksheets[1][site]))
        yield from self._report(site, int(self.setting.roster.places[site]), room)

    def _viability(self, site: int, room: Room) -> tuple[int, bool]:
        """How many groups are viable at first alignment, and whether there is anybody who must realign."""
        delegates = int(self.setting.delegates[site])
        sizes = [int(size) for size in self.setting.true_records[site][FIRST] if size > 0]
        if delegates <= 1 or room.counted == 0:
            return len(sizes), False
        viable = sum(bool(is_viable(size, delegates, room.counted)) for size in sizes)
        return viable, viable < len(sizes)

    # The report

    def _report(self, site: int, place: int, room: Room) -> Process:
        """Bring the result to headquarters, one way or another."""
        luck = self.luck
        if luck.happens(self._silent, Stream.CHAIR_SILENT, place):
            yield from self._is_reached(site, place)
            return
        if self._has_working_app(site, place):
            done = yield from self._by_app(site, place)
            if done:
                return
        search = 0
        if room.untrained:
            search = luck.duration(self._finds_number, Stream.FINDS_NUMBER, place)
        done = yield from self._by_phone(site, place, search)
        if not (done or self._is_lost(place)):
            delivered = luck.duration(self._by_hand, Stream.HAND_DELIVERY, place)
            due = max(int(self.clock.now), self.setting.call_to_order + delivered)
            yield self.clock.at(due, Rank.DELIVERED, site)
            self.headquarters.receive(site, Channel.HAND)

    def _is_reached(self, site: int, place: int) -> Process:
        """Headquarters has nothing and asks; some results are never found."""
        if self._is_lost(place):
            return
        after = self.luck.duration(self._reached, Stream.REACHED, place)
        yield self.clock.at(max(int(self.clock.now), self.setting.call_to_order + after), Rank.DELIVERED, site)
        self.headquarters.receive(site, Channel.REACHED)

    def _is_lost(self, place: int) -> bool:
        return self.luck.happens(self._result_lost, Stream.RESULT_LOST, place)

    # The app

    def _means_to_use_app(self, site: int, place: int) -> bool:
        allowed = self.setting.spec.app.single_delegate or int(self.setting.delegates[site]) != 1
        return allowed and self.luck.happens(self._tries, Stream.APP_TRIES, place)

    def _has_working_app(self, site: int, place: int) -> bool:
        return self._means_to_use_app(site, place) and self.luck.happens(self._installed, Stream.APP_INSTALLED, place)

    def _has_trouble_with_app(self, site: int, place: int) -> bool:
        return self._means_to_use_app(site, place) and not self.luck.happens(
            self._installed, Stream.APP_INSTALLED, place
        )

    def _asks_about_installing(self, site: int, place: int) -> Process:
        """A chair whose app was never working may ask for help; it costs an operator's time and solves nothing."""
        luck = self.luck
        if not self._has_trouble_with_app(site, place):
            return
        if not luck.happens(self._asks_for_help, Stream.ASKS_FOR_HELP, place):
            return
        due = self.setting.doors_open + luck.duration(self._help_after, Stream.HELP_AFTER, place)
        yield from self._call(Call.HELP, site, place, _HELP_ENTITY | site, 0, due - int(self.clock.now))

    def _by_app(self, site: int, place: int) -> Trying:
        """Try the app; True where the chair believes that the report is in."""
        luck = self.luck
        no_signal = luck.happens(self._no_signal, Stream.NO_SIGNAL, place)
        solved = False
        for attempt in range(self._attempts):
            self.app_attempts[site] = attempt + 1
            if not (no_signal or self._app_fails(place, attempt, solved)):
                entry = luck.duration(self._entry, Stream.APP_ENTRY, place, 0, attempt)
                yield self.clock.after(entry, Rank.APP, site, attempt)
                if not self._is_out():
                    lost = luck.happens(self._lost, Stream.APP_LOST, place)
                    self._tell(Kind.SUBMITTED, site, attempt, int(lost))
                    if lost:
                        yield from self._is_reached(site, place)
                    else:
                        self.headquarters.receive(site, Channel.APP)
                    return True
            hang = luck.duration(self._hang, Stream.APP_HANG, place, 0, attempt)
            yield self.clock.after(hang, Rank.APP, site, attempt)
            self._tell(Kind.APP_FAILED, site, attempt, attempt + 1)
            if attempt + 1 == self._attempts:
                break
            if luck.happens(self._asks_for_help, Stream.ASKS_FOR_HELP, place, 0, attempt + 1):
                outcome = yield from self._call(Call.HELP, site, place, site, attempt, 0)
                if outcome == Outcome.ANSWERED and luck.happens(
                    self._help_solves, Stream.HELP_SOLVES, place, 0, attempt
                ):
                    solved = True  # from now on, whatever else fails
                    continue
            retry = luck.duration(self._retry, Stream.APP_RETRY, place, 0, attempt)
            yield self.clock.after(retry, Rank.APP, site, attempt)
        return False

    def _app_fails(self, place: int, attempt: int, solved: bool) -> bool:
        luck = self.luck
        return self._is_out() or (
            not solved
            and (
                luck.happens(self._login_fails, Stream.LOGIN_FAILS, place, 0, attempt)
                or luck.happens(self._submit_fails, Stream.SUBMIT_FAILS, place, 0, attempt)
            )
        )

    def _is_out(self) -> bool:
        return any(start <= self.clock.now < end for start, end in self._outages)

    # The telephone

    def _by_phone(self, site: int, place: int, wait: int) -> Trying:
        """Call, after `wait`, until somebody takes the report; False where the chair leaves it for the morning."""
        luck = self.luck
        attempt = 0
        while True:
            outcome = yield from self._call(Call.REPORT, site, place, site, attempt, wait)
            if outcome == Outcome.ANSWERED:
                self.headquarters.receive(site, Channel.PHONE)
                self._may_be_called_back(site, place)
                return True
            if outcome == Outcome.CLOSED:
                return False
            if outcome in (Outcome.BUSY, Outcome.HUNG_UP) and attempt == 0:
                turns = luck.happens(self._to_inbox, Stream.TURNS_TO_INBOX, place)
                if turns and self.setting.spec.inbox.readers:
                    yield from self._by_message(site, place)
                    return True
            if outcome == Outcome.HUNG_UP:
                if luck.happens(self._until_morning, Stream.UNTIL_MORNING, place, 0, attempt):
                    return False
                wait = luck.duration(self._hold_wait, Stream.HOLD_WAIT, place, 0, attempt)
            else:
                if outcome == Outcome.BUSY and not luck.happens(self._after_busy, Stream.AFTER_BUSY, place, 0, attempt):
                    return False
                wait = luck.duration(self._busy_wait, Stream.BUSY_WAIT, place, 0, attempt)
            wait = max(wait, luck.resolution)
            attempt += 1

    def _call(self, about: Call, site: int, place: int, entity: int, attempt: int, wait: int) -> Asking:
        """One call, dialed after `wait`, to its end. Even without a wait a dial has its own place in the order."""
        luck = self.luck
        yield self.clock.after(wait, Rank.DIALS, entity, attempt)
        person = int(about) + 4 * (entity & 0x3FFFFFFF if site == HOTLINE else 0)
        silent = about != Call.CALLBACK and luck.happens(self._silent_call, Stream.SILENT_CALL, place, person, attempt)
        if silent:
            handling = luck.duration(self._silent_for, Stream.SILENT_FOR, place, person, attempt)
        else:
            handling = luck.duration(self._handling[about], Stream.HANDLING, place, person, attempt)
        handling = max(handling, luck.resolution)  # a call ends after it was answered, on any clock
        patience = luck.duration(self._patience[about], Stream.PATIENCE, place, person, attempt)
        now = int(self.clock.now)
        call = Calling(about, site, entity, attempt, patience, handling, silent, now, self.clock.event())
        outcome = yield self.hotline.dial(call)
        assert isinstance(outcome, Outcome)  # what `Calling.over` happens with
        return outcome

    def _may_be_called_back(self, site: int, place: int) -> None:
        if self.luck.happens(self._callbacks, Stream.CALLBACK, place):
            self.clock.process(self._is_called_back(site, place))

    def _is_called_back(self, site: int, place: int) -> Process:
        """An operator asks once more for a result that is already held."""
        yield from self._call(Call.CALLBACK, site, place, _CALLBACK_ENTITY | site, 0, 0)

    def _by_message(self, site: int, place: int) -> Process:
        """A photo of the worksheet, read by whoever sits at the inbox."""
        self._tell(Kind.SENT, site, 0, self.messages)
        self.messages += 1
        yield self.inbox.turn()
        reading = self.luck.duration(self._reading, Stream.READING, place)
        yield self.clock.after(reading, Rank.MESSAGE_READ, site, 1)
        self.headquarters.receive(site, Channel.INBOX)
        self.inbox.done()

    def _nuisance(self, window: int) -> None:
        """Strangers call, in a Poisson process; some call again until they are blocked."""
        spec, luck = self.setting.spec.hotline.nuisance[window], self.luck
        per_hour = luck.value(spec.calls_per_hour)
        when, end = luck.ticks(spec.start), luck.ticks(spec.end)
        waiting_once = luck.waiting_once
        caller = 0
        while per_hour > 0:
            gap = quantile(waiting_once, luck.bits(Stream.NUISANCE_GAP, NUISANCE_PLACE, window, caller))
            when += gap * HOUR // (per_hour * FACTOR)
            if when >= end:
                return
            entity = _NUISANCE_ENTITY | window << 20 | caller
            self.clock.process(self._stranger(entity, luck.ticks(when) - int(self.clock.now)))
            caller += 1

    def _stranger(self, entity: int, wait: int) -> Process:
        luck = self.luck
        block_after = self.setting.spec.hotline.block_after
        answered, attempt = 0, 0
        person = entity & 0x3FFFFFFF
        while True:
            outcome = yield from self._call(Call.NUISANCE, HOTLINE, NUISANCE_PLACE, entity, attempt, wait)
            answered += outcome in (Outcome.ANSWERED, Outcome.SILENT)
            if outcome == Outcome.CLOSED or (block_after is not None and answered >= block_after):
                return
            again = luck.bits(Stream.NUISANCE_AGAIN, NUISANCE_PLACE, person, attempt)
            if not chance(self._nuisance_again, again):
                return
            wait = luck.duration(self._nuisance_wait, Stream.NUISANCE_WAIT, NUISANCE_PLACE, person, attempt)
            wait = max(wait, luck.resolution)
            attempt += 1

    def _tell(self, kind: Kind, site: int, attempt: int, value: int) -> None:
        if self.log is not None:
            self.log.append((int(self.clock.now), self.clock.rank, kind, site, 0, attempt, value))
