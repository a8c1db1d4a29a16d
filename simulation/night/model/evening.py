"""The evening of chairs, app, hotline and headquarters: one coupled event loop, as SimPy processes.

Each chair opens the caucus, runs the room, signs the worksheet and reports: by app, by telephone, by a photographed
worksheet, the morning after, or when headquarters asks.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from simpy import Event

from simulation.night.backend import ROOM_ENTITY, Phone, Step
from simulation.night.events import HOTLINE, EventLog
from simulation.night.model.app_backend import AppBackend
from simulation.night.model.clock import Clock
from simulation.night.model.headquarters import Desk, Headquarters
from simulation.night.model.hotline import Calling, Hotline
from simulation.night.order import Call, Channel, Kind, Outcome, Rank, Stream
from simulation.night.records import FINAL
from simulation.night.reporting import (
    CALLBACK_ENTITY,
    HELP_ENTITY,
    NUISANCE_ENTITY,
    NUISANCE_PLACE,
    STRANGER_MASK,
    WINDOW_BITS,
    app_fails,
    call_of,
    is_out,
    next_attempt,
    next_stranger,
    no_sooner,
    rota,
)
from simulation.night.rooms import Room
from simulation.night.setting import Setting
from simulation.randomness import Integers

Process = Generator[Event, object, None]
Asking = Generator[Event, object, Outcome]
Trying = Generator[Event, object, bool]
Sending = Generator[Event, object, int]


class Evening:
    """All chairs of a night. Arrays and lists are by site; times in ms, -1 where it did not come to that."""

    def __init__(self, clock: Clock, setting: Setting, line_gone_at: Integers, log: EventLog | None) -> None:
        self.clock = clock
        self.setting = setting
        self.luck = setting.luck
        self.app, self.telephone, self.office = setting.app, setting.telephone, setting.office
        self.log = log
        self.line_gone_at = line_gone_at
        self.started_at = [-1] * setting.sites
        self.ready_at = [-1] * setting.sites
        self.app_attempts = [0] * setting.sites
        self.messages = 0
        self.backend = AppBackend(clock, setting, log)
        self.headquarters = Headquarters(clock, setting, self.backend, log)
        self.hotline = Hotline(clock, self.telephone.lines, rota(self.telephone.shifts), log)
        self.inbox = Desk(clock, 0)
        if self.office.readers:
            begin = partial(self.inbox.open, self.office.readers)
            clock.call_at(self.office.inbox_opens, Rank.MESSAGE_READ, 0, 0, begin)
        for site in range(setting.sites):
            clock.process(self._chair(site))
            clock.process(self._asks_about_installing(site, int(setting.roster.places[site])))
        for window in range(len(self.telephone.windows)):
            self._strangers(window)

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
        self._sends_from_room(site, Step.OPENS)
        yield self.clock.after(room.first, Rank.ROOM, site, 2)
        viable, realigns = self.setting.viability
        self._tell(Kind.ALIGNED, site, 2, int(viable[site]))
        self._sends_from_room(site, Step.ALIGNED)
        if realigns[site]:
            yield self.clock.after(room.realignment, Rank.ROOM, site, 3)
            self._tell(Kind.REALIGNED, site, 3, int(record[FINAL].sum()))
        yield self.clock.after(room.afterwards, Rank.ROOM, site, 4)
        self.ready_at[site] = int(self.clock.now)
        self._tell(Kind.READY, site, 4, int(self.setting.worksheets[1][site]))
        yield from self._report(site, int(self.setting.roster.places[site]), room)

    # The report

    def _report(self, site: int, place: int, room: Room) -> Process:
        """Bring the result to headquarters, one way or another."""
        luck = self.luck
        if luck.happens(self.office.silent_chairs, Stream.CHAIR_SILENT, place):
            yield from self._is_reached(site, place)
            return
        if self._has_working_app(site, place) and self._steps_hung(site) < self.app.attempts:
            done = yield from self._by_app(site, place)
            if done:
                return
        search = 0
        if room.untrained:
            search = luck.duration(self.telephone.finds_number, Stream.FINDS_NUMBER, place)
        done = yield from self._by_phone(site, place, search)
        if not (done or self._is_lost(place)):
            delivered = luck.duration(self.office.by_hand, Stream.HAND_DELIVERY, place)
            due = max(int(self.clock.now), self.setting.call_to_order + delivered)
            yield self.clock.at(due, Rank.DELIVERED, site)
            self.headquarters.receive(site, Channel.HAND)

    def _is_reached(self, site: int, place: int) -> Process:
        """Headquarters has nothing and asks; some results are never found."""
        if self._is_lost(place):
            return
        after = self.luck.duration(self.office.reached, Stream.REACHED, place)
        yield self.clock.at(max(int(self.clock.now), self.setting.call_to_order + after), Rank.DELIVERED, site)
        self.headquarters.receive(site, Channel.REACHED)

    def _is_lost(self, place: int) -> bool:
        return self.luck.happens(self.office.never_arrives, Stream.RESULT_LOST, place)

    # The app

    def _means_to_use_app(self, site: int, place: int) -> bool:
        allowed = self.app.single_delegate or int(self.setting.delegates[site]) != 1
        return allowed and self.luck.happens(self.app.tries, Stream.APP_TRIES, place)

    def _has_working_app(self, site: int, place: int) -> bool:
        return self._means_to_use_app(site, place) and self.luck.happens(
            self.app.installed, Stream.APP_INSTALLED, place
        )

    def _has_trouble_with_app(self, site: int, place: int) -> bool:
        return self._means_to_use_app(site, place) and not self.luck.happens(
            self.app.installed, Stream.APP_INSTALLED, place
        )

    def _asks_about_installing(self, site: int, place: int) -> Process:
        """A chair whose app was never working may ask for help; it costs an operator's time and solves nothing."""
        luck = self.luck
        if not self._has_trouble_with_app(site, place):
            return
        if not luck.happens(self.app.asks_for_help, Stream.ASKS_FOR_HELP, place):
            return
        due = self.setting.doors_open + luck.duration(self.app.help_after, Stream.HELP_AFTER, place)
        yield from self._call(Call.HELP, site, place, HELP_ENTITY | site, 0, due - int(self.clock.now))

    def _by_app(self, site: int, place: int) -> Trying:
        """Try the app; True where the chair believes that the report is in."""
        luck = self.luck
        no_signal = luck.happens(self.app.no_signal, Stream.NO_SIGNAL, place)
        solved = False
        hung = self._steps_hung(site)
        self.backend.phones[site, Phone.WAITING] += self.app.requests[Step.REPORTS]
        for attempt in range(self.app.attempts - hung):
            self.app_attempts[site] = hung + attempt + 1
            if not (no_signal or self._app_fails(place, attempt, solved)):
                entry = luck.duration(self.app.entry, Stream.APP_ENTRY, place, 0, attempt)
                yield self.clock.after(entry, Rank.APP, site, attempt)
                takes = yield from self._sends(site, place, attempt)
                if takes >= 0:
                    if takes > 0:
                        yield self.clock.after(takes, Rank.APP, site, attempt)
                    lost = luck.happens(self.app.lost, Stream.APP_LOST, place)
                    self._tell(Kind.SUBMITTED, site, attempt, int(lost))
                    self.backend.asks_in_passing(Step.PHOTO)
                    if lost:
                        yield from self._is_reached(site, place)
                    else:
                        self.headquarters.receive(site, Channel.APP)
                    return True
            hang = luck.duration(self.app.hang, Stream.APP_HANG, place, 0, attempt)
            yield self.clock.after(hang, Rank.APP, site, attempt)
            self._tell(Kind.APP_FAILED, site, attempt, attempt + 1)
            if hung + attempt + 1 == self.app.attempts:
                break
            if luck.happens(self.app.asks_for_help, Stream.ASKS_FOR_HELP, place, 0, attempt + 1):
                outcome = yield from self._call(Call.HELP, site, place, site, attempt, 0)
                if outcome == Outcome.ANSWERED and luck.happens(
                    self.app.help_solves, Stream.HELP_SOLVES, place, 0, attempt
                ):
                    solved = True  # from now on, whatever else fails
                    continue
            retry = luck.duration(self.app.retry, Stream.APP_RETRY, place, 0, attempt)
            yield self.clock.after(retry, Rank.APP, site, attempt)
        return False

    def _app_fails(self, place: int, attempt: int, solved: bool) -> bool:
        if is_out(self.app.outages, int(self.clock.now)):
            return True
        shares = (self.app.login_fails, self.app.submit_fails)
        fails = not solved and bool(app_fails(self.luck.seed, self.luck.night, *shares, place, attempt))
        if fails:
            self.backend.asks_in_passing(Step.AGAIN)
        return fails

    def _sends(self, site: int, place: int, attempt: int) -> Sending:
        """An attempt comes to the backend, which may take resends: how long the last answers take; -1: it hangs."""
        requests = int(self.app.requests[Step.AGAIN]) if attempt else 0
        for sent_again in range(self.app.resends + 1):
            if is_out(self.app.outages, int(self.clock.now)):
                return -1
            takes = self.backend.answers_after(site, place, requests, attempt)
            if takes >= 0:
                return takes
            if sent_again < self.app.resends:
                yield self.clock.after(self._between_sends(), Rank.APP, site, attempt)
            requests = 0
        return -1

    def _steps_hung(self, site: int) -> int:
        return int(self.backend.phones[site, Phone.STEPS_HUNG])

    def _sends_from_room(self, site: int, step: Step) -> None:
        """The app sends a step of the report while the room goes on."""
        luck, place = self.luck, int(self.setting.roster.places[site])
        if not self.app.backend or luck.happens(self.office.silent_chairs, Stream.CHAIR_SILENT, place):
            return
        if not self._has_working_app(site, place) or luck.happens(self.app.no_signal, Stream.NO_SIGNAL, place):
            return
        if self._steps_hung(site) == self.app.attempts:
            return
        phone = self.backend.phones[site]
        phone[Phone.WAITING] += self.app.requests[step]
        if not phone[Phone.SENDS_AGAIN] and self._hangs_in_room(site, place, 0):
            phone[Phone.SENDS_AGAIN] = 1
            self.clock.process(self._sends_on_from_room(site, place))

    def _sends_on_from_room(self, site: int, place: int) -> Process:
        """It goes on until it is answered or the worksheet is signed; where it hangs, an attempt is used up."""
        phone, hangs = self.backend.phones[site], True
        for sent_again in range(1, self.app.resends + 1):
            yield self.clock.after(self._between_sends(), Rank.APP, ROOM_ENTITY | site, sent_again)
            hangs = self._hangs_in_room(site, place, sent_again)
            if not hangs:
                break
        if hangs:
            phone[Phone.STEPS_HUNG] += 1
            self.app_attempts[site] = self._steps_hung(site)
        phone[Phone.SENDS_AGAIN] = 0

    def _hangs_in_room(self, site: int, place: int, sent_again: int) -> bool:
        if self.ready_at[site] >= 0:
            return False
        out = is_out(self.app.outages, int(self.clock.now))
        return out or self.backend.answers_after(site, place, 0, sent_again) < 0

    def _between_sends(self) -> int:
        return int(no_sooner(self.luck.ticks(self.app.timeout), self.luck.resolution))

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
                turns = luck.happens(self.office.to_inbox, Stream.TURNS_TO_INBOX, place)
                if turns and self.office.readers:
                    yield from self._by_message(site, place)
                    return True
            if outcome == Outcome.HUNG_UP:
                if luck.happens(self.telephone.until_morning, Stream.UNTIL_MORNING, place, 0, attempt):
                    return False
                wait = luck.duration(self.telephone.hold_wait, Stream.HOLD_WAIT, place, 0, attempt)
            else:
                if outcome == Outcome.BUSY and not luck.happens(
                    self.telephone.after_busy, Stream.AFTER_BUSY, place, 0, attempt
                ):
                    return False
                wait = luck.duration(self.telephone.busy_wait, Stream.BUSY_WAIT, place, 0, attempt)
            wait = int(no_sooner(wait, luck.resolution))
            attempt = int(next_attempt(attempt))

    def _call(self, about: Call, site: int, place: int, entity: int, attempt: int, wait: int) -> Asking:
        """One call, dialed after `wait`, to its end. Even without a wait a dial has its own place in the order."""
        luck = self.luck
        yield self.clock.after(wait, Rank.DIALS, entity, attempt)
        silent, handling, patience = call_of(
            *(luck.seed, luck.night, luck.resolution, int(about), place),
            entity & STRANGER_MASK if site == HOTLINE else 0,
            attempt,
            self.telephone.silent_calls,
            self.telephone.silent_for,
            self.telephone.handling[about],
            self.telephone.patience[about],
        )
        now = int(self.clock.now)
        call = Calling(
            about, site, entity, attempt, int(patience), int(handling), bool(silent), now, self.clock.event()
        )
        outcome = yield self.hotline.dial(call)
        assert isinstance(outcome, Outcome)  # what `Calling.over` happens with
        return outcome

    def _may_be_called_back(self, site: int, place: int) -> None:
        if self.luck.happens(self.office.callbacks, Stream.CALLBACK, place):
            self.clock.process(self._is_called_back(site, place))

    def _is_called_back(self, site: int, place: int) -> Process:
        """An operator asks once more for a result that is already held."""
        yield from self._call(Call.CALLBACK, site, place, CALLBACK_ENTITY | site, 0, 0)

    def _by_message(self, site: int, place: int) -> Process:
        """A photo of the worksheet, read by whoever sits at the inbox."""
        self._tell(Kind.SENT, site, 0, self.messages)
        self.messages += 1
        yield self.inbox.turn()
        reading = self.luck.duration(self.office.reading, Stream.READING, place)
        yield self.clock.after(reading, Rank.MESSAGE_READ, site, 1)
        self.headquarters.receive(site, Channel.INBOX)
        self.inbox.done()

    def _strangers(self, window: int) -> None:
        """Strangers call, in a Poisson process; some call again until they are blocked."""
        luck = self.luck
        when, end, per_hour = self.telephone.windows[window].tolist()
        caller = 0
        while per_hour > 0:
            address = (luck.seed, luck.night, window, caller)
            when = int(next_stranger(*address, when, per_hour, self.telephone.waiting_once))
            if when >= end:
                return
            entity = NUISANCE_ENTITY | window << WINDOW_BITS | caller
            self.clock.process(self._stranger(entity, luck.ticks(when) - int(self.clock.now)))
            caller += 1

    def _stranger(self, entity: int, wait: int) -> Process:
        luck = self.luck
        block_after, again, again_wait = self.telephone.block_after, self.telephone.again, self.telephone.again_wait
        answered, attempt = 0, 0
        person = entity & STRANGER_MASK
        while True:
            outcome = yield from self._call(Call.NUISANCE, HOTLINE, NUISANCE_PLACE, entity, attempt, wait)
            answered += outcome in (Outcome.ANSWERED, Outcome.SILENT)
            if outcome == Outcome.CLOSED or 0 <= block_after <= answered:
                return
            if not luck.happens(again, Stream.NUISANCE_AGAIN, NUISANCE_PLACE, person, attempt):
                return
            wait = luck.duration(again_wait, Stream.NUISANCE_WAIT, NUISANCE_PLACE, person, attempt)
            wait = int(no_sooner(wait, luck.resolution))
            attempt = int(next_attempt(attempt))

    def _tell(self, kind: Kind, site: int, attempt: int, value: int) -> None:
        if self.log is not None:
            self.log.append((int(self.clock.now), self.clock.rank, kind, site, 0, attempt, value))
