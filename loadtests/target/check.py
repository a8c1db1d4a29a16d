"""One precinct walked through an evening at a backend: what works, what the mapping misses, what is not guaranteed.

Speaks only the contract; whose backend it is, it does not know. Every write is a test record, marked with the run's id.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import tempfile
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from loadtests import ledger, reconciliation
from loadtests.accounts import CHAIR, CLERK, REVIEWER, Account, Accounts
from loadtests.contract import (
    READERS,
    STEPS,
    Ask,
    Backend,
    Extracting,
    Operation,
    Outcome,
    Reply,
    Report,
    Request,
    Session,
    Site,
    reader_session,
)
from loadtests.contract import evening as writes_of
from loadtests.contract import signed_in as session_of
from loadtests.night import Night
from loadtests.stored import Public, public_results, stored_by_api
from loadtests.target.guards import Redaction
from loadtests.target.sender import NoAnswerError
from simulation.errors import InputError

Verdict = Literal["works", "missing", "warns", "fails", "left out"]
SETTLE_S = 15.0  # how long results may take to show what was accepted
_MOST_SITES = 20  # that are asked whether they have reported
_LOCKED_OUT = 429
_TAKEN = 409

# The smallest picture that is one: a JPEG of one gray point.
PHOTO = base64.b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4z"
    "NDL/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AVN//2Q=="
)

_MISSED: dict[Operation, str] = {
    "login": "log-in storms and PIN guessing cannot be tried",
    "report": "no chair can report",
    "photo": "worksheet photos are left out",
    "resume": "chairs who come back cannot ask what is held",
    "clerk": "the hotline's clerks are left out",
    "review.list": "reviewers are left out",
    "results": "public readers are left out, and totals cannot be checked",
    "results.csv": "campaigns that poll the CSV are left out",
    "stored": "nothing can be read back: lost, doubled and altered records would go unseen",
    "cleanup": "test records stay; they carry the run's id",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was tried."""

    subject: str
    verdict: Verdict
    says: str


def accounts_of_environment(environment: Mapping[str, str], code: str | None) -> Accounts:
    """One chair, from CAUCUS_TARGET_USER, _PIN and _TOTP_SECRET, where no list is given."""
    user, pin = environment.get("CAUCUS_TARGET_USER", ""), environment.get("CAUCUS_TARGET_PIN", "")
    if not user or not pin:
        raise InputError(
            "who signs in? --pins FILE (user,role,site,pin,totp_secret; `caucus backend pins` writes ours), or the "
            "environment's CAUCUS_TARGET_USER and CAUCUS_TARGET_PIN, and --site"
        )
    account = Account(user, CHAIR, code or user, pin, environment.get("CAUCUS_TARGET_TOTP_SECRET", ""))
    return Accounts({account.site: account}, {})


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Who reports, and from where."""

    site: Site
    account: Account
    session: Session | None
    before: Public | None  # what the public was shown


@dataclass
class Walk:
    """One walk: `lines` come as they are found, `reconciled` is what the ledger says at its end."""

    backend: Backend
    send: Callable[[Request], Reply]
    night: Night
    accounts: Accounts
    run_id: str
    redaction: Redaction
    settle_s: float = SETTLE_S
    reconciled: dict[str, Any] | None = None
    site: Site | None = None
    _state: object = None  # of the record, as the last write's answer has it
    _reader: Session | None = None  # of who reads what is stored: kept, as some backends take a one-time code once
    _anew: set[str] = field(default_factory=set)  # keys of repeats that were taken as new writes

    def lines(self, code: str | None, *, clean_up: bool) -> Iterator[Line]:
        """Everything that is tried, in order; secrets taken out of what is said."""
        began = False
        with tempfile.TemporaryDirectory(prefix="caucus-check-") as folder:
            self._ledger = ledger.Ledger(Path(folder), self.run_id)
            try:
                for line in self._lines(code, Path(folder), clean_up):
                    began = began or line.verdict != "missing"
                    yield replace(line, says=self.redaction.text(line.says))
            except NoAnswerError as error:
                if not began:
                    raise  # there is nothing there to be checked
                yield Line("connection", "fails", self.redaction.text(str(error)))
            finally:
                self._ledger.close()

    def _lines(self, code: str | None, folder: Path, clean_up: bool) -> Iterator[Line]:
        yield from self._missing()
        chaired = self._chaired(code)
        if "login" in self.backend.operations:
            yield from self._wrong_pin(self._guessed_at(chaired[0][1]))
        chosen = yield from self._chosen(chaired, code)
        if chosen is None:
            return
        site, session = chosen.site, chosen.session
        report = self.night.report(site)
        asks = self._asks(session, site, report)
        whole = True
        for step in writes_of(self.backend):
            line = self._write(step, asks[step])
            yield line
            if line.verdict == "fails":
                whole = False
                break
            yield self._repeat(step, asks[step])
        if whole:
            yield from self._resumed(session, site, report)
            yield from self._results(site, report, chosen.before)
            yield from self._keyed(site, self._shown(chosen.before))
        yield from self._stored(folder)
        if whole:
            yield from self._conflict(asks)
            yield from self._locked_out(session, site, asks, chosen.account)
        yield from self._logged_out(session, site)
        if clean_up:
            yield self._cleaned_up(chosen.account, site)

    def _chosen(
        self, chaired: Sequence[tuple[Site, Account]], code: str | None
    ) -> Generator[Line, None, _Chosen | None]:
        """The first chair who gets in and whose site has not reported; None where a line says why nothing is tested."""
        session: Session | None = None
        before: Public | None = None
        known: frozenset[str] = frozenset()
        tried = 0
        for site, account in chaired:
            if code is None and known & {site.code, site.id}:
                continue
            if tried == _MOST_SITES:
                raise InputError(f"{tried} sites have reported already: --site takes another one, or a new database")
            tried += 1
            if "login" in self.backend.operations:
                session, line = self._sign_in(account)
                yield line
                if session is None and line.verdict == "left out":
                    continue  # locked out: another chair may get in
                if session is None:
                    return None
            if before is None:
                before = self._public()
                known = self._shown(before)
                if known:
                    yield Line("sites", "left out", f"{len(known):,} have reported already, as the public results say")
                if code is None and known & {site.code, site.id}:
                    continue
            self.site = site
            if not self._has_reported(session, site):
                return _Chosen(site, account, session, before)
            if code is not None:
                raise InputError(f"--site {code}: it has reported already, and a report is not sent twice")
            yield Line(f"site {site.id}", "left out", "it has reported already: the next one")
        if session is None and "login" in self.backend.operations:
            yield Line("log-in", "fails", "every chair who was tried is locked out: nothing was tested")
            return None
        raise InputError("all sites with a chair in the list have reported already: give the check a new database")

    def _missing(self) -> Iterator[Line]:
        has = self.backend.operations
        for operation, says in _MISSED.items():
            there = operation in has or (operation == "report" and "report.final" in has)
            if not there:
                yield Line(f"[{operation}]", "missing", says)

    def _chaired(self, code: str | None) -> list[tuple[Site, Account]]:
        """Sites that could report, and their chairs."""
        meant = [site for site in self.night.sites if code in (None, site.code, site.id)]
        if not meant:
            raise InputError(f"--site {code}: the scenario has no such site; a code such as {self.night.sites[0].code}")
        chaired = [(site, account) for site in meant if (account := self.night.account_of(site, self.accounts))]
        if not chaired:
            where = "it" if code is not None else "a site of the scenario"
            raise InputError(f"nobody in the list of log-ins chairs {where}: is it of another scenario?")
        return chaired

    @staticmethod
    def _shown(public: Public | None) -> frozenset[str]:
        """The sites whose results are public: they have reported."""
        return frozenset() if public is None or public.sites is None else frozenset(public.sites)

    def _has_reported(self, session: Session | None, site: Site) -> bool:
        if "resume" not in self.backend.operations:
            return False
        held = self._said("resume", Ask(session, site)).values
        return any(held.get(name) for name in ("attendees", "first_alignment", "final"))

    # Log-in

    def _signing_in(self, account: Account, pin: str) -> Ask:
        self.redaction.learn(account.pin)
        self.redaction.learn(account.totp_secret)
        device = f"check-{secrets.token_hex(4)}"
        return Ask(user=account.user, pin=pin, second_factor=account.second_factor(), device=device)

    def _guessed_at(self, chair: Account) -> Account:
        """Whose PIN is mistyped: not the one who reports, and somebody else each run, or soon they were locked out."""
        others = [one for one in self.accounts.chairs.values() if one.user != chair.user]
        return others[zlib.crc32(self.run_id.encode()) % len(others)] if others else chair

    def _wrong_pin(self, account: Account) -> Iterator[Line]:
        last = account.pin[-1:]
        wrong = account.pin[:-1] + ("0" if last != "0" else "1")  # of the same form, so that only its truth decides
        outcome = self._said("login", self._signing_in(account, wrong))
        if outcome.accepted:
            yield Line("wrong PIN", "fails", "accepted: anybody can sign in as this chair")
        elif outcome.verdict == "refused":
            yield Line("wrong PIN", "works", f"refused ({outcome.status})")
        elif outcome.status == _LOCKED_OUT and outcome.retry_after_s is not None:
            yield Line("wrong PIN", "left out", f"{account.user} is {_until(outcome.retry_after_s)}")
        else:
            yield Line("wrong PIN", "warns", f"neither refused nor accepted: {outcome.problem}")

    def _sign_in(self, account: Account) -> tuple[Session | None, Line]:
        ask = self._signing_in(account, account.pin)
        outcome = self._said("login", ask)
        subject = f"log-in of {account.role} {account.user}"
        if outcome.status == _LOCKED_OUT and outcome.retry_after_s is not None and account.role == CHAIR:
            return None, Line(subject, "left out", _until(outcome.retry_after_s))
        if not outcome.accepted:
            wait = "" if outcome.retry_after_s is None else f"; come back in {outcome.retry_after_s:g} s"
            return None, Line(subject, "fails", f"{outcome.problem or outcome.verdict}{wait}")
        for value in outcome.values.values():
            self.redaction.learn(value)
        lacking = self._lacking("login", outcome)
        if lacking:
            return None, Line(
                subject, "fails", f"accepted, but the answer has no {lacking} where [login] extract looks"
            )
        return session_of(ask, outcome), Line(subject, "works", f"signed in ({outcome.status})")

    def _sign_reader_in(self) -> Session | None:
        """Who may read what is stored; InputError where they are not let in."""
        for account in (one for role in READERS for one in self.accounts.of(role)):
            self.redaction.learn(account.pin)
            self.redaction.learn(account.totp_secret)
        self._reader = reader_session(self.backend, self.send, self.accounts)
        if self._reader is not None:
            for value in self._reader.values.values():
                self.redaction.learn(value)
        return self._reader

    def _lacking(self, operation: Operation, outcome: Outcome) -> str:
        expected = self.backend.extracts(operation) if isinstance(self.backend, Extracting) else frozenset()
        return ", ".join(sorted(expected - set(outcome.values)))

    # The report

    def _asks(self, session: Session | None, site: Site, report: Report) -> dict[Operation, Ask]:
        steps: tuple[Operation, ...] = (*STEPS, "report", "photo")
        return {
            step: Ask(session, site, report, key=self._key(), photo=PHOTO if step == "photo" else b"") for step in steps
        }

    def _key(self) -> str:
        return f"check-{secrets.token_hex(12)}"

    def _said(self, operation: Operation, ask: Ask) -> Outcome:
        return self.backend.read(operation, self.send(self.backend.build(operation, ask)))

    def _promised(self, operation: Operation, ask: Ask) -> Outcome:
        """A write, in the ledger."""
        self._ledger.sent(operation, ask)
        outcome = self._said(operation, ask)
        self._ledger.answered(operation, ask, outcome)
        return outcome

    def _write(self, step: Operation, ask: Ask) -> Line:
        outcome = self._promised(step, ask)
        if not outcome.accepted:
            hint = "" if outcome.status != 409 else "; has the site reported before? --site takes another one"
            return Line(step, "fails", f"{outcome.problem or outcome.verdict}{hint}")
        lacking = self._lacking(step, outcome)
        self._state = outcome.values.get("state")
        if lacking:
            return Line(step, "warns", f"accepted ({outcome.status}), but the answer has no {lacking}")
        version = outcome.values.get("version")
        return Line(step, "works", f"accepted ({outcome.status})" + ("" if version is None else f", version {version}"))

    def _repeat(self, step: Operation, ask: Ask) -> Line:
        first = self._version_of(step, ask)
        outcome = self._promised(step, ask)
        subject = f"{step} again, same key"
        if outcome.verdict == "refused":
            says = "refused: a chair whose answer was lost cannot tell that the report is in"
            return Line(subject, "warns", f"{says} ({outcome.problem})")
        if not outcome.accepted:
            return Line(subject, "warns", outcome.problem)
        version = outcome.values.get("version")
        if outcome.replayed or (version is not None and version == first):
            return Line(subject, "works", "the first answer again")
        self._anew.add(ask.key)
        return Line(
            subject, "warns", "accepted anew: nothing shows that a retry after a lost answer is not stored twice"
        )

    def _version_of(self, step: Operation, ask: Ask) -> object:
        merged = ledger.merge(self._ledger.path.parent)
        return next((entry.version for entry in merged if entry.key == ask.key and entry.step == step), None)

    def _conflict(self, asks: Mapping[Operation, Ask]) -> Iterator[Line]:
        """The same key with other content: whoever answers "done" promises what it has not stored."""
        steps = [step for step in writes_of(self.backend) if step != "photo"]
        if not steps:
            return
        ask = asks[steps[0]]
        report = ask.report
        assert report is not None  # `_asks` gives every write one
        counts = report.final
        largest = max(counts, key=lambda group: counts[group])
        more = dict(counts) | {largest: counts[largest] + 1}
        other = replace(ask, report=replace(report, attendees=report.attendees + 1, first_alignment=more, final=more))
        outcome = self._said(steps[0], other)
        subject = f"{steps[0]} with the same key and other content"
        if outcome.verdict == "refused":
            yield Line(subject, "works", f"refused ({outcome.status})")
        elif outcome.accepted and outcome.replayed:
            yield Line(subject, "warns", "the first answer again: a chair who corrects a figure thinks that it is in")
        elif outcome.accepted:
            yield Line(subject, "warns", "accepted: keys guarantee nothing, so a late retry may overwrite a correction")
        else:
            yield Line(subject, "warns", outcome.problem)

    def _locked_out(
        self, session: Session | None, site: Site, asks: Mapping[Operation, Ask], account: Account
    ) -> Iterator[Line]:
        if session is None:
            return
        step = writes_of(self.backend)[0]
        outcome = self._said(step, replace(asks[step], session=None))
        yield _must_be_refused("a report without log-in", outcome)
        other = next((one for one in self.night.sites if one.code != site.code), None)
        if other is not None and account.role == CHAIR:
            ask = Ask(session, other, self.night.report(other), key=self._key())
            yield _must_be_refused(f"the report of another precinct ({other.id})", self._said(step, ask))

    # What became of it

    def _resumed(self, session: Session | None, site: Site, report: Report) -> Iterator[Line]:
        if "resume" not in self.backend.operations:
            return
        outcome = self._said("resume", Ask(session, site))
        if not outcome.accepted:
            yield Line("resume", "fails", outcome.problem or outcome.verdict)
            return
        sent = {"attendees": report.attendees, "first_alignment": report.first_alignment, "final": report.final}
        differing = reconciliation.differing(sent, outcome.values)
        if differing:
            yield Line("resume", "fails", f"what is held of the site is not what was sent: {differing}")
        else:
            yield Line("resume", "works", "what is held of the site is what was sent")

    def _public(self) -> Public | None:
        return public_results(self.backend, self.send)

    def _results(self, site: Site, report: Report, before: Public | None) -> Iterator[Line]:
        if before is None:
            return
        until = time.monotonic() + self.settle_s
        says = ""
        while True:
            try:
                public = self._public()
            except InputError as error:  # the answer is not what it was before the report
                yield Line("results", "fails", str(error))
                return
            says = "the backend has no results" if public is None else _shown_wrong(site, report, before, public)
            if not says or time.monotonic() > until:
                break
            time.sleep(0.5)
        if not says:
            yield Line("results", "works", "the public is shown what was sent")
        elif self._state not in (None, reconciliation.ACCEPTED):
            yield Line("results", "left out", f"the report is {self._state}: the public is not shown it yet")
        else:
            yield Line("results", "fails", f"after {self.settle_s:g} s: {says}")

    def _stored(self, folder: Path) -> Iterator[Line]:
        if "stored" not in self.backend.operations:
            return
        reader = None
        try:
            reader = self._sign_reader_in()
            rows = stored_by_api(self.backend, self.send, reader)
        except InputError as error:
            roles = " or ".join(READERS)
            yield Line("stored", "fails", f"{error}; does it take a log-in of {roles} in --pins?")
            return
        if "login" in self.backend.operations:
            yield self._open_to_all(reader)
        found = reconciliation.reconcile(ledger.merge(folder), reconciliation.Sources(by_api=rows))
        self.reconciled = found
        for kind, consequence in _CONSEQUENCES.items():
            for one in {one["key"]: one for one in found["offending"][kind]}.values():
                # without keys a repeat is a second report: not guaranteed, rather than broken
                verdict: Verdict = "warns" if kind == "duplicated" and one["key"] in self._anew else "fails"
                yield Line(f"stored: {kind.replace('_', ' ')}", verdict, f"{one['step']}: {one['says']}: {consequence}")
        if found["clean"]:
            yield Line("stored", "works", f"{found['acknowledged']} acknowledged, each stored once and as it was sent")

    def _open_to_all(self, reader: Session | None) -> Line:
        """What is stored names users and keys: nobody's business who has not signed in."""
        outcome = self._said("stored", Ask())
        line = _must_be_refused("stored, without log-in", outcome)
        if line.verdict == "fails" and reader is None:  # other headers of the mapping may keep strangers out
            return replace(line, verdict="warns", says="it takes no log-in: every stored version can be read")
        return line

    def _keyed(self, site: Site, known: frozenset[str]) -> Iterator[Line]:
        """Two clerks key another site, and a reviewer looks at the queue: where the list has them."""
        clerks = self.accounts.of(CLERK)[:2]
        if "clerk" in self.backend.operations:
            free = [one for one in reversed(self.night.sites) if not known & {one.code, one.id} and one != site]
            if len(clerks) < 2 or not free or "login" not in self.backend.operations:
                yield Line("clerk", "left out", "takes two clerks in --pins and a second site that has not reported")
            else:
                yield from self._entered(clerks, free[:_MOST_SITES])
        reviewers = self.accounts.of(REVIEWER)
        if "review.list" in self.backend.operations:
            session = self._sign_in(reviewers[0])[0] if reviewers else None
            if session is None:
                yield Line("review.list", "left out", "takes a reviewer in --pins")
            else:
                outcome = self._said("review.list", Ask(session))
                good = outcome.accepted and not self._lacking("review.list", outcome).replace("next", "")
                says = "the queue can be read" if good else outcome.problem or "the answer has no reports"
                verdict: Verdict = "works" if good else "fails"
                yield Line("review.list", verdict, says)

    def _entered(self, clerks: Sequence[Account], sites: Sequence[Site]) -> Iterator[Line]:
        """One site, keyed by both: the first that is free."""
        first, line = self._sign_in(clerks[0])
        if first is None:
            yield line
            return
        for site in sites:
            outcome = self._keys(first, site)
            if outcome.status != _TAKEN:
                break
        else:
            yield Line("clerk", "left out", f"{len(sites)} sites were tried, and have reported already (HTTP 409)")
            return
        yield _entry("first", site, outcome)
        if not outcome.accepted:
            return
        second, line = self._sign_in(clerks[1])
        yield line if second is None else _entry("second", site, self._keys(second, site))

    def _keys(self, session: Session, site: Site) -> Outcome:
        return self._promised("clerk", Ask(session, site, self.night.report(site), key=self._key()))

    def _logged_out(self, session: Session | None, site: Site) -> Iterator[Line]:
        if session is None or "logout" not in self.backend.operations:
            return
        outcome = self._said("logout", Ask(session))
        if not outcome.accepted:
            yield Line("logout", "fails", outcome.problem or outcome.verdict)
        elif "resume" in self.backend.operations:
            after = self._said("resume", Ask(session, site))
            yield _must_be_refused("a token after log-out", after)

    def _cleaned_up(self, account: Account, site: Site) -> Line:
        if "cleanup" not in self.backend.operations:
            return Line("cleanup", "missing", f"this run's test records stay: run id {self.run_id}, site {site.id}")
        session = self._reader
        if session is None and "stored" not in self.backend.operations:  # else `_stored` has tried, and said so
            with suppress(InputError):
                session = self._sign_reader_in()
        if session is None and "login" in self.backend.operations:
            session = self._sign_in(account)[0]
        outcome = self._said("cleanup", Ask(session, site))
        if not outcome.accepted and session is not None and session is self._reader:  # who reads may not remove
            session = self._sign_in(account)[0]
            outcome = self._said("cleanup", Ask(session, site))
        if outcome.accepted:
            return Line("cleanup", "works", f"the test records of run {self.run_id} are removed")
        return Line("cleanup", "fails", f"{outcome.problem}: this run's test records stay: run id {self.run_id}")


_CONSEQUENCES = {
    "lost": "an acknowledged report is gone",
    "duplicated": "a retry counts twice",
    "altered": "the public would be shown what nobody reported",
    "out_of_order": "an older figure can win over a newer one",
}


def _entry(which: str, site: Site, outcome: Outcome) -> Line:
    verdict: Verdict = "works" if outcome.accepted else "fails"
    return Line(f"clerk, {which} entry ({site.id})", verdict, outcome.problem or f"accepted ({outcome.status})")


def _until(retry_after_s: float) -> str:
    at = datetime.now().astimezone() + timedelta(seconds=retry_after_s)
    return f"locked out until {at:%H:%M:%S}: too many wrong PINs before (HTTP 429)"


def _must_be_refused(subject: str, outcome: Outcome) -> Line:
    if outcome.verdict == "refused":
        return Line(subject, "works", f"refused ({outcome.status})")
    if outcome.accepted:
        return Line(subject, "fails", f"accepted ({outcome.status}): anybody may write or read it")
    return Line(subject, "warns", f"neither refused nor accepted: {outcome.problem}")


def _shown_wrong(site: Site, report: Report, before: Public, public: Public) -> str:
    """What is wrong with the public results after the report; empty where nothing is."""
    sent = asdict(report)
    if public.sites is not None:
        row = public.sites.get(site.code) or public.sites.get(site.id)
        if row is None:
            return "the site is missing from the public results"
        differing = reconciliation.differing(sent, row)
        return f"the public is shown other figures: {differing}" if differing else ""
    for name, total in public.totals.items():
        whole = reconciliation.added(before.totals.get(name), sent[name])
        if reconciliation.differing({name: whole}, {name: total}):
            return f"{name}: expected {json.dumps(whole)} in all, shown {json.dumps(total)}"
    return "" if public.totals else "[results] extract takes no figures, so nothing can be compared"


def as_json(walk: Walk, lines: Sequence[Line], target: str) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "target": target,
        "backend": getattr(walk.backend, "name", type(walk.backend).__name__),
        "run_id": walk.run_id,
        "site": None if walk.site is None else {"code": walk.site.code, "id": walk.site.id},
        "ok": not any(line.verdict == "fails" for line in lines),
        **{
            verdict.replace(" ", "_"): sum(1 for line in lines if line.verdict == verdict)
            for verdict in ("works", "missing", "warns", "fails", "left out")
        },
        "lines": [asdict(line) for line in lines],
        "ledger": walk.reconciled,
    }


def environment() -> Mapping[str, str]:
    """Where secrets come from."""
    return os.environ
