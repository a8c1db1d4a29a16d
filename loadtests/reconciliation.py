"""Whether a backend kept what it promised: a ledger held against what is stored and what the public is shown."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from loadtests.contract import STEPS, Backend, Session
from loadtests.ledger import Entry
from loadtests.stored import (
    FIGURES,
    Public,
    Send,
    Stored,
    public_results,
    said_of,
    stored_by_api,
    stored_in_database,
)
from simulation.errors import InputError


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that a ledger is held against; None: this source is not there."""

    by_api: Sequence[Stored] | None = None
    by_database: Sequence[Stored] | None = None
    public: Public | None = None
    accepted: Mapping[str, Mapping[str, Any]] | None = None  # the database's own: what counts, by site


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be."""

    kind: str
    where: str  # "api", "database", "public" or "answers"
    name: Mapping[str, object]
    says: str


KINDS = ("lost", "duplicated", "altered", "mis_tallied", "out_of_order")


def reconcile(entries: Iterable[Entry], sources: Sources) -> dict[str, Any]:
    """How many writes were acknowledged, what became of them, and every offending one by its key.

    `unanswered_stored` and `unanswered_not_stored` are both right: nothing was promised.
    """
    writes = list(entries)
    promised = [entry for entry in writes if entry.acknowledged]
    found: list[Finding] = []
    unanswered: dict[str, int] = {}
    for where, rows in (("api", sources.by_api), ("database", sources.by_database)):
        if rows is not None:
            pairs = _Pairs(writes, rows)
            listed = [entry for entry in promised if pairs.lists(entry)]
            found += _kept(where, listed, pairs)
            found += _refused_and_stored(where, writes, pairs)
            found += _in_order(where, promised, pairs)
            loose = [entry for entry in writes if entry.unanswered and pairs.lists(entry)]
            unlisted = len(promised) - len(listed)
            stored = sum(1 for entry in loose if pairs.of(entry))
            unanswered = {"unanswered_stored": stored, "unanswered_not_stored": len(loose) - stored}
            unanswered |= {"stored": len(rows), "stored_by_others": pairs.strangers, "not_listed": unlisted}
    found += [
        Finding("duplicated", "answers", entry.name, "acknowledged twice, as two versions")
        for entry in promised
        if entry.contradicted
    ]
    not_checked: list[str] = []
    if sources.public is not None:
        found += _tallied(writes, sources, sources.public, not_checked)
    distinct = {(one.kind, json.dumps(one.name, sort_keys=True, default=str)) for one in found}
    counted = {kind: sum(1 for each, _ in distinct if each == kind) for kind in KINDS}
    return {
        "acknowledged": len(promised),
        **counted,
        "unanswered": sum(1 for entry in writes if entry.unanswered),
        **unanswered,
        "sources": [name for name in ("by_api", "by_database", "public") if getattr(sources, name) is not None],
        "release": None if sources.public is None else sources.public.release,
        "sites_not_checked": not_checked,
        "clean": bool(promised) and not found,
        "verdict": _verdict(bool(promised), bool(found)),
        "offending": {kind: [_shown_finding(one) for one in found if one.kind == kind] for kind in KINDS},
    }


def _verdict(promised: bool, broken: bool) -> str:
    if broken:
        return "the backend did not keep what it promised"
    return "the backend kept what it promised" if promised else "nothing was acknowledged: nothing was tested"


def _shown_finding(finding: Finding) -> dict[str, Any]:
    shown = asdict(finding)
    shown.pop("kind")
    return {**shown.pop("name"), **shown}


class _Pairs:
    """Which stored versions belong to which write: by key where versions have one, else by what they say."""

    def __init__(self, writes: Sequence[Entry], rows: Sequence[Stored]) -> None:
        aliases = {entry.site_id: entry.site for entry in writes if entry.site_id}
        self.rows = [replace(row, site=aliases.get(row.site, row.site)) for row in rows]
        self._by_key: dict[tuple[str, str], list[Stored]] = defaultdict(list)
        self._by_site: dict[str, list[Stored]] = defaultdict(list)
        for row in self.rows:
            if row.key is not None:
                self._by_key[(row.user or "", row.key)].append(row)
            self._by_site[row.site].append(row)
        self._keyed = any(row.key is not None for row in rows)
        self._steps = any(row.step is not None for row in rows)
        self._users = any(row.user is not None for row in rows)
        self._without_key = {id(entry): found for entry, found in self._matched(writes)} if not self._keyed else {}
        ours = {id(row) for entry in writes for row in self.of(entry)}
        self.strangers = sum(1 for row in self.rows if id(row) not in ours)

    def lists(self, entry: Entry) -> bool:
        """Whether a write of this kind is among what is listed: a list of reports alone says nothing of photos."""
        return self._steps or entry.step in _STATING or entry.step == "clerk"

    def of(self, entry: Entry) -> list[Stored]:
        """The versions that a write has become."""
        if not self._keyed:
            return self._without_key.get(id(entry), [])
        return self._by_key.get((entry.user if self._users else "", entry.key), [])

    def _matched(self, writes: Sequence[Entry]) -> Iterator[tuple[Entry, list[Stored]]]:
        """Without keys: for each site and step the versions are dealt to the writes, equal ones first."""
        groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in writes:
            groups[(entry.site, entry.step)].append(entry)
        for (site, step), group in groups.items():
            free = [row for row in self._by_site[site] if row.step in (None, step)]
            dealt: dict[int, list[Stored]] = {id(entry): [] for entry in group}
            ordered = sorted(group, key=lambda one: (not one.acknowledged, one.sent_at_ms))
            for same in (True, False):
                for entry in ordered:
                    if dealt[id(entry)] or (not same and not entry.acknowledged):
                        continue
                    fitting = [
                        row for row in free if (_says_the_same(entry, row) if same else _same_version(entry, row))
                    ]
                    if fitting:
                        dealt[id(entry)].append(fitting[0])
                        free.remove(fitting[0])
            for row in free:  # what is left over says the same as a write that has its version already: a double
                double = next((entry for entry in ordered if dealt[id(entry)] and _says_the_same(entry, row)), None)
                if double is not None:
                    dealt[id(double)].append(row)
            yield from ((entry, dealt[id(entry)]) for entry in group)


def _says_the_same(entry: Entry, row: Stored) -> bool:
    if row.content_sha256 is not None:
        return row.content_sha256 == entry.content_sha256
    said = said_of(entry.step, entry.content)
    return bool(said) and all(_equal(row.figures[name], value) for name, value in said.items() if name in row.figures)


def _equal(stored: Any, said: Any) -> bool:
    """Whether two figures are the same number; a group of nobody may be left out."""
    if isinstance(said, Mapping):
        if not isinstance(stored, Mapping):
            return False
        return _without_zeros(stored) == _without_zeros(said)
    return bool(_number(stored) == _number(said))


def _without_zeros(counts: Mapping[str, Any]) -> dict[str, Any]:
    return {group: _number(count) for group, count in counts.items() if _number(count) != 0}


def _number(value: Any) -> Any:
    try:
        return int(value)
    except (TypeError, ValueError):
        return value


def _same_version(entry: Entry, row: Stored) -> bool:
    return entry.version is None or row.version is None or _number(row.version) == _number(entry.version)


def _kept(where: str, promised: Iterable[Entry], pairs: _Pairs) -> Iterator[Finding]:
    for entry in promised:
        rows = pairs.of(entry)
        if not rows:
            yield Finding("lost", where, entry.name, "acknowledged, and not stored")
            continue
        if len(rows) > 1:
            versions = ", ".join(str(row.version) for row in rows)
            yield Finding("duplicated", where, entry.name, f"stored {len(rows)} times, as versions {versions}")
        for row in rows:
            changed = _difference(entry, row)
            if changed:
                yield Finding("altered", where, entry.name, changed)
                break
        else:
            if not any(_same_version(entry, row) for row in rows):
                says = f"acknowledged as version {entry.version}, stored as {rows[0].version}"
                yield Finding("out_of_order", where, entry.name, says)


def _difference(entry: Entry, row: Stored) -> str:
    """How a stored version differs from what was sent; empty where it does not."""
    if row.site != entry.site:
        return f"stored for site {row.site}"
    if row.step is not None and row.step != entry.step:
        return f"stored as {row.step}"
    for name, value in said_of(entry.step, entry.content).items():
        if name in row.figures and not _equal(row.figures[name], value):
            return f"{name}: sent {_short(value)}, stored {_short(row.figures[name])}"
    if row.content_sha256 is not None and row.content_sha256 != entry.content_sha256:
        return "stored with other content: the digests differ"
    return ""


def differing(sent: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """Which figures are shown otherwise than they were sent; what is not shown is no difference. Empty: none."""
    wrong = [name for name, value in sent.items() if name in shown and not _equal(shown[name], value)]
    return "; ".join(f"{name}: sent {_short(sent[name])}, shown {_short(shown[name])}" for name in wrong)


def added(before: Any, more: Any) -> Any:
    """The sum of two figures: people, or counts by group."""
    if isinstance(more, Mapping):
        known = before or {}
        return {group: int(known.get(group, 0)) + int(more.get(group, 0)) for group in {**known, **more}}
    return int(before or 0) + int(more)


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _refused_and_stored(where: str, writes: Iterable[Entry], pairs: _Pairs) -> Iterator[Finding]:
    accepted = {(entry.user, entry.key) for entry in writes if not entry.refused}
    for entry in writes:
        if entry.refused and (entry.user, entry.key) not in accepted and pairs.of(entry):
            yield Finding("altered", where, entry.name, "refused, and stored all the same")


def _in_order(where: str, promised: Iterable[Entry], pairs: _Pairs) -> Iterator[Finding]:
    """A write that went out after another one's acceptance had come back is the later version."""
    by_site: dict[str, list[tuple[Entry, Any]]] = defaultdict(list)
    for entry in promised:
        rows = pairs.of(entry)
        if rows and isinstance(_number(rows[0].version), int):
            by_site[entry.site].append((entry, _number(rows[0].version)))
    for pairs_of_site in by_site.values():
        highest: tuple[int, Entry] | None = None
        acknowledged = sorted(pairs_of_site, key=lambda pair: pair[0].acknowledged_at_ms or 0)
        waiting = iter(acknowledged)
        following = next(waiting, None)
        for entry, version in sorted(pairs_of_site, key=lambda pair: pair[0].sent_at_ms):
            while following is not None and (following[0].acknowledged_at_ms or 0) < entry.sent_at_ms:
                if highest is None or following[1] > highest[0]:
                    highest = (following[1], following[0])
                following = next(waiting, None)
            if highest is not None and version < highest[0]:
                says = f"version {version}, though it was sent after {highest[1].key} was acknowledged as {highest[0]}"
                yield Finding("out_of_order", where, entry.name, says)


# The tally


ACCEPTED = "accepted"  # the state of a record that counts
_STATING = frozenset({None, "report", *STEPS})  # steps that state figures


def _tallied(writes: Sequence[Entry], sources: Sources, public: Public, not_checked: list[str]) -> Iterator[Finding]:
    """The public's figures of each site are the accepted ones, and its totals are their sum."""
    rows = sources.by_database if sources.by_database is not None else sources.by_api
    aliases = {entry.site_id: entry.site for entry in writes if entry.site_id}
    shown = None if public.sites is None else {aliases.get(site, site): row for site, row in public.sites.items()}
    counted: Mapping[str, Mapping[str, Any]] | None = shown
    if rows is not None:
        expected = dict(_expected(writes, _Pairs(writes, rows), sources.accepted))
        if public.held:
            not_checked += sorted(expected)
        elif shown is None:
            certain = {site: one[0] for site, one in expected.items() if len(one) == 1}
            if len(certain) < len(expected):
                not_checked += sorted(set(expected) - set(certain))
            else:
                counted = certain
        else:
            yield from _sites_tallied(expected, shown, not_checked)
    if counted is not None:
        for name, total in public.totals.items():
            whole = _sum(name, counted.values())
            if not _equal(total, whole):
                says = f"{name}: the public total is {_short(total)}, its {len(counted):,} sites sum to {_short(whole)}"
                yield Finding("mis_tallied", "public", {"site": "statewide", "figure": name}, says)


def _sites_tallied(
    expected: Mapping[str, list[dict[str, Any]]], shown: Mapping[str, Mapping[str, Any]], not_checked: list[str]
) -> Iterator[Finding]:
    for site, possible in expected.items():
        if site not in shown:
            yield Finding("mis_tallied", "public", {"site": site}, "accepted, and missing from the public results")
        elif not possible:
            not_checked.append(site)
        elif not any(_agree(shown[site], one) for one in possible):
            says = f"shown as {_short(_figures(shown[site]))}, accepted as {_short(possible[0])}"
            yield Finding("mis_tallied", "public", {"site": site}, says)
    for site in shown:
        if site not in expected:
            yield Finding("mis_tallied", "public", {"site": site}, "in the public results, and not accepted")


def _figures(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in FIGURES if name in row}


def _agree(shown: Mapping[str, Any], accepted: Mapping[str, Any]) -> bool:
    return all(_equal(shown[name], value) for name, value in accepted.items() if name in shown)


def _sum(name: str, sites: Iterable[Mapping[str, Any]]) -> Any:
    if name == "attendees":
        return sum(int(site.get(name) or 0) for site in sites)
    totals: dict[str, int] = defaultdict(int)
    for site in sites:
        for group, count in (site.get(name) or {}).items():
            totals[group] += int(count)
    return dict(totals)


def _expected(
    writes: Sequence[Entry], pairs: _Pairs, accepted: Mapping[str, Mapping[str, Any]] | None
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What should count of each site: the figures that it may show; none where what was accepted is not known here.

    From the database's own accepted record where there is one; else from the versions, whose contents the ledger knows.
    """
    said: dict[int, dict[str, Any]] = {}
    for entry in writes:
        for row in pairs.of(entry):
            said[id(row)] = said_of(entry.step, entry.content)
    by_site: dict[str, list[Stored]] = defaultdict(list)
    for row in pairs.rows:
        by_site[row.site].append(row)
    for site, rows in by_site.items():
        ordered = sorted(rows, key=lambda row: _number(row.version) if isinstance(_number(row.version), int) else 0)
        through = max((at for at, row in enumerate(ordered, 1) if row.state in (None, ACCEPTED)), default=0)
        if not through:
            continue
        if accepted is not None:
            yield site, [dict(_figures(accepted[site]))] if site in accepted else []
            continue
        keyed = [row for row in ordered[:through] if row.step == "clerk"]
        steps = [row for row in ordered[:through] if row.step != "clerk"]
        folded: dict[str, Any] = {}
        known = True
        for row in steps:
            folded |= row.figures or said.get(id(row), {})
            known = known and (bool(row.figures) or id(row) in said or row.step not in _STATING)
        possible = [{**(row.figures or said[id(row)]), **folded} for row in keyed if row.figures or id(row) in said]
        if not keyed and folded:
            possible = [folded]
        yield site, possible if known else []


# All of it


class NothingStatedError(InputError):
    """A backend that was never said to tell what it has: nobody can know, and nobody was promised to."""


def held_against(
    entries: Sequence[Entry],
    backend: Backend,
    send: Send,
    session: Session | None,
    database: str | None = None,
    settle_s: float = 0.0,
) -> dict[str, Any]:
    """What became of a ledger at a backend, see `reconcile`; gives public results `settle_s` to catch up."""
    by_api, not_read = _by_api(backend, send, session)
    by_database, accepted = stored_in_database(database) if database is not None else (None, None)
    only_public = by_api is None and by_database is None
    if only_public and "results" not in backend.operations:
        raise NothingStatedError(
            f"nothing to hold the ledger against: {not_read}, there is no --database, and no [results]"
        )
    until = time.monotonic() + settle_s
    while True:
        public = public_results(backend, send)
        found = reconcile(entries, Sources(by_api, by_database, public, accepted))
        if not found["mis_tallied"] or time.monotonic() > until:
            break
        time.sleep(0.5)
    found["not_read"] = not_read
    if only_public and found["clean"]:
        found["verdict"] = f"the public results hold nothing against it; what is stored was not looked at: {not_read}"
    return found


def knows_what_is_stored(found: Mapping[str, Any]) -> bool:
    """Whether what is stored was read: the public results alone cannot show that something was lost."""
    return not {"by_api", "by_database"}.isdisjoint(found["sources"])


def _by_api(backend: Backend, send: Send, session: Session | None) -> tuple[list[Stored] | None, str]:
    """What is stored, or why that cannot be read; an error where somebody signed in, and should be able to."""
    if "stored" not in backend.operations:
        return None, "the mapping has no [stored]"
    try:
        return stored_by_api(backend, send, session), ""
    except InputError as error:
        if session is not None:
            raise
        return None, f"no log-in of an administrator or observer in --pins ({error})"


def together(found: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What became of several ledgers, as of one; None: of none."""
    if len(found) < 2:
        return dict(found[0]) if found else None
    total = dict(next((one for one in found if not one["clean"]), found[0]))  # whose verdict counts for all
    total |= {name: sum(int(one[name]) for one in found) for name in ("acknowledged", *KINDS, "unanswered")}
    total["sources"] = [source for source in total["sources"] if all(source in one["sources"] for one in found)]
    total["offending"] = {kind: [row for one in found for row in one["offending"][kind]] for kind in KINDS}
    return total


def as_text(found: Mapping[str, Any]) -> str:
    """What `caucus loadtest reconcile` prints: a line each, and each offending write."""
    lines = [f"{found['acknowledged']:>9,} acknowledged"]
    for kind in KINDS:
        lines.append(f"{found[kind]:>9,} {'mis-tallied' if kind == 'mis_tallied' else kind.replace('_', ' ')}")
        lines += [f"{'':9} - {_named(one)}" for one in found["offending"][kind]]
    stored, absent = found.get("unanswered_stored", 0), found.get("unanswered_not_stored", 0)
    lines.append(f"{found['unanswered']:>9,} unanswered ({stored:,} of them stored, {absent:,} not: both are right)")
    if found.get("not_listed"):
        lines.append(f"{found['not_listed']:>9,} photos or approvals that the backend does not list")
    if found["sites_not_checked"]:
        lines.append(f"{len(found['sites_not_checked']):>9,} sites whose accepted figures this ledger does not know")
    if found.get("not_read") and found["not_read"] not in found["verdict"]:
        lines.append(f"{'':9} not read by the API: {found['not_read']}")
    lines.append(found["verdict"])
    return "\n".join(lines)


def _named(one: Mapping[str, Any]) -> str:
    name = ", ".join(f"{key} {one[key]}" for key in ("site", "step", "key", "figure") if key in one)
    return f"{name} ({one['where']}): {one['says']}"
