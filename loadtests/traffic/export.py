"""A night's schedule for other tools: CSV for any of them, targets for vegeta, a script for k6.

Requests are those of the mapping; where a log-in's answer belongs, `@token@` (or whatever the mapping calls it) stands.
Figures are what the room did: whoever wrote down others would be refused, and add up again, which takes a client that
reads answers (`replay`, Locust). No PIN is written down: k6 reads the list of log-ins itself. Nor is what the mapping
takes from the environment: `@secret.NAME@` stands there. Vegeta cannot; what it is to send for who is signed in needs
the sessions, PINs and secrets themselves (`Signed`).
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from loadtests.accounts import CHAIR, CLERK, Accounts
from loadtests.addresses import address
from loadtests.contract import Ask, Backend, Operation, Request, Session
from loadtests.ledger import Ledger
from loadtests.photo import PNG, photo
from loadtests.target.guards import Target, new_run_id
from loadtests.target.sender import NoAnswerError, Sender
from loadtests.traffic.evening import Trouble
from loadtests.traffic.preparing import Preparation
from loadtests.traffic.replay import Plan, sign_everybody_in
from loadtests.workload import SECOND
from simulation.errors import InputError, UnfinishedError
from simulation.scenario.values import DAY, format_clock

_COLUMNS = ("due_s", "clock", "operation", "site", "user", "method", "path", "body_bytes")
_PICTURE_BYTES = 8_000  # a schedule with every photo in it would be a gigabyte
_HOTLINE = tuple(f"clerk-{number:02d}" for number in range(1, 5))  # of ours there are as many at least, a demo's too
_WRONG = "000000"  # the PIN of somebody who mistypes it
_STAGE_S = 5.0  # k6 keeps a rate for so long


class _Held(dict[str, object]):
    """A session that somebody else will have: what the mapping takes from it is named where it belongs."""

    def __missing__(self, name: str) -> str:
        return f"@{name}@"

    def get(self, name: str, default: object = None) -> object:
        """Whatever it is asked for is there."""
        del default
        return self[name]


@dataclass(frozen=True)
class Signed:
    """Everybody of the night, signed in: by user, and what a log-in of theirs needs."""

    sessions: Mapping[str, Session]
    accounts: Accounts

    @classmethod
    def nobody(cls) -> Signed:
        """Placeholders stand for what nobody has."""
        return cls({}, Accounts.none())


@dataclass(frozen=True)
class Event:
    """One request of the night."""

    due_s: float
    at_ms: int
    operation: Operation
    site: str  # its code; empty for a reader
    user: str  # who has to be signed in; empty for nobody
    request: Request
    device: str = ""  # to which the session belongs
    address: str = ""  # of whoever sends
    photo: bool = False  # the body is the picture
    must_fail: bool = False  # a mistyped PIN
    body_bytes: int = 0  # with a photo of the night's own size

    @property
    def clock(self) -> str:
        """The time of the night."""
        days = self.at_ms // DAY
        return f"{f'+{days}d ' if days else ''}{format_clock(self.at_ms % DAY)}"


def events(plan: Plan, backend: Backend, signed: Signed | None = None, *, named: bool = True) -> Iterator[Event]:
    """Every request in the order of its time. Without `named`, `@user@` stands where a user's name belongs."""
    known = signed or Signed.nobody()
    hotline = [one.user for one in known.accounts.of("clerk") if one.user in known.sessions] or _HOTLINE
    night = f"{plan.evening.seed}-{plan.evening.night}"
    schedule, evening = plan.schedule, plan.evening
    turns: dict[tuple[int, int], int] = {}
    clerks = {each.number: number for number, each in enumerate(evening.keyed)}
    picture = photo("worksheet", _PICTURE_BYTES)
    rows = zip(schedule.due_ns.tolist(), schedule.operation.tolist(), schedule.subject.tolist(), strict=True)
    for due_ns, which, subject in rows:
        operation: Operation = schedule.operations[which]
        turn = turns[which, subject] = turns.get((which, subject), 0) + 1
        at_ms = round(float(plan.clock_ms(due_ns)))
        if subject >= len(evening.sites):
            look = backend.build(operation, Ask())
            yield Event(due_ns / SECOND, at_ms, operation, "", "", look, body_bytes=len(look.body or b""))
            continue
        each = evening.sites[subject]
        chair = known.accounts.chairs.get(each.site.code)
        user, device, source = chair.user if chair else each.site.code, f"chair-{subject}", address("chair", subject)
        if operation == "clerk":  # two people key a result
            number = (2 * clerks[subject] + turn - 1) % len(hotline)
            user, device, source = hotline[number], hotline[number], address("clerk", number)
        mistyped = False
        if operation == "login":
            mistyped = any(one.at_ms == at_ms and one.trouble == Trouble.WRONG_PIN for one in each.failures)
            pin = _WRONG if mistyped else chair.pin if chair else "@pin@"
            ask = Ask(user=user if named else "@user@", pin=pin, device=device, address=source)
        else:
            key = f"export-{night}-{operation.rpartition('.')[2][:15]}-{subject}-{turn}"
            session = known.sessions.get(user) or Session(user if named else "@user@", device, _Held())
            ask = Ask(session, each.site, each.true, key=key, photo=picture, photo_type=PNG, address=source)
        request = backend.build(operation, ask)
        body = request.body or b""
        size = len(body) + (each.photo_bytes - len(picture) if picture in body else 0)
        yield Event(
            due_ns / SECOND, at_ms, operation, each.site.code, user, request, device, source,
            photo=body == picture, must_fail=mistyped, body_bytes=size,
        )  # fmt: skip


def signed_in(plan: Plan, backend: Backend, target: Target, accounts: Accounts, ca: Path | None) -> Signed:
    """Sign everybody in at the target, now. InputError where log-ins of the night need what no file can hold."""
    codes = {each.site.id: each.site.code for each in plan.evening.sites}
    chairs = accounts.by_code(codes).chairs
    logging_in = {plan.evening.sites[number].site.code for number in plan.schedule.of("login").subject.tolist()}
    coded = sorted(code for code in logging_in & chairs.keys() if chairs[code].totp_secret)
    if coded:
        raise InputError(
            f"--format vegeta --pins: the chairs of {len(coded):,} sites sign in with a second factor, such as "
            f"{', '.join(coded[:3])}: its codes last half a minute, and a file cannot make them; `caucus loadtest "
            f"replay` does"
        )
    run_id = new_run_id()
    with tempfile.TemporaryDirectory(prefix="caucus-export-") as folder:
        ledger = Ledger(Path(folder), run_id)  # nothing is written
        try:
            there = Preparation(backend, Sender(target, run_id, ca), ledger, lambda _: None)
            sessions = sign_everybody_in(there, plan, accounts.by_code(codes))
        except NoAnswerError as error:
            raise UnfinishedError(str(error)) from None
        finally:
            ledger.close()
    return Signed(sessions, accounts.by_code(codes))


def as_csv(plan: Plan, backend: Backend) -> str:
    """A row a request: when, what, who, where; without bodies."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in events(plan, backend):
        request = one.request
        writer.writerow(
            (f"{one.due_s:.6f}", one.clock, one.operation, one.site, one.user, request.method, request.path,
             one.body_bytes)
        )  # fmt: skip
    return text.getvalue()


def as_vegeta(plan: Plan, backend: Backend, url: str, signed: Signed | None = None) -> str:
    """Targets in vegeta's JSON format, a line each, in order: `vegeta attack -format=json -lazy -rate ...`."""
    lines = []
    for one in events(plan, backend, signed):
        request = one.request
        target: dict[str, Any] = {"method": request.method, "url": url.rstrip("/") + request.path}
        if request.body is not None:
            target["body"] = base64.b64encode(request.body).decode("ascii")
        target["header"] = {name: [value] for name, value in request.headers.items()}
        lines.append(json.dumps(target, ensure_ascii=False, separators=(",", ":")))
    return "\n".join(lines) + "\n"


def write_text(path: Path, text: str, *, secret: bool = False) -> None:
    """A file, its owner's alone where it is `secret`; InputError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if secret:
            path.touch(mode=0o600)
            path.chmod(0o600)
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written: {error.strerror}") from None


def write_k6(folder: Path, plan: Plan, backend: Backend, url: str, mapping: Path) -> None:
    """night.js, events.json, people.json and photo.png: k6 signs everybody in, then keeps the night's rate."""
    rows, people = [], {}
    for one in events(plan, backend, named="login" not in backend.operations):
        request = one.request
        if one.user:
            people[one.user] = {"user": one.user, "device": one.device, "address": one.address, **_in_list(plan, one)}
        row: dict[str, Any] = {
            "due_s": round(one.due_s, 3), "name": one.operation, "method": request.method, "path": request.path,
            "headers": dict(request.headers), "user": one.user,
        }  # fmt: skip
        if one.must_fail:
            row["must_fail"] = True
        if one.photo:
            row["photo"] = True
        elif request.body is not None:
            try:
                row["body"] = request.body.decode("utf-8")
            except UnicodeDecodeError:
                raise InputError(
                    f"--format k6: the mapping sends [{one.operation}] as bytes that are no text, such as a photo "
                    f"among fields (multipart), and the script holds text: --format vegeta takes it"
                ) from None
        rows.append(row)
    login = _login(backend, mapping, rows)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise InputError(f"--out {folder}: is there already: choose another name") from None
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written: {error.strerror}") from None
    (folder / "events.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    (folder / "people.json").write_text(json.dumps(list(people.values()), ensure_ascii=False), encoding="utf-8")
    (folder / "photo.png").write_bytes(photo("worksheet", _PICTURE_BYTES))
    script = files("loadtests.traffic").joinpath("k6.js").read_text(encoding="utf-8")
    settings = {"target": url.rstrip("/"), "stages": _stages(plan), "login": login}
    script = script.replace("__SETTINGS__", json.dumps(settings, indent=2))
    (folder / "night.js").write_text(script, encoding="utf-8")


def _stages(plan: Plan) -> list[dict[str, Any]]:
    """Requests in each few seconds, as k6's arrival rates want them: the steps add up to the night."""
    schedule = plan.schedule
    width = int(_STAGE_S * SECOND)
    counts = [0] * (int(schedule.due_ns[-1] // width) + 1)
    for due in schedule.due_ns.tolist():
        counts[due // width] += 1
    stages = []
    for count, several in itertools.groupby(counts):
        length = _STAGE_S * len(list(several))
        stages += [{"target": count, "duration": "0s"}, {"target": count, "duration": f"{length:g}s"}]
    return stages


def _login(backend: Backend, mapping: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How k6 signs somebody in. InputError where `rows` need of the answer what is no JSON pointer in the mapping."""
    if "login" not in backend.operations:
        return None
    try:
        extract: Mapping[str, Any] = tomllib.loads(mapping.read_text("utf-8")).get("login", {}).get("extract", {})
    except (OSError, tomllib.TOMLDecodeError):
        return None
    pointers = {name: how for name, how in extract.items() if isinstance(how, str) and how.startswith("/")}
    text = json.dumps(rows, ensure_ascii=False)
    others = [name for name in extract if name not in pointers and re.search(rf"(@|%40){re.escape(name)}\1", text)]
    if others:
        raise InputError(
            f"--format k6: [login] extract takes {', '.join(others)} otherwise than with a JSON pointer such as "
            f'"/token", and the script follows no others; --format vegeta with --pins takes it'
        )
    request = backend.build("login", Ask(user="@user@", pin="@pin@", device="@device@", address="@address@"))
    return {
        "method": request.method, "path": request.path, "headers": dict(request.headers),
        "body": (request.body or b"").decode("utf-8"), "extract": pointers,
    }  # fmt: skip


def _in_list(plan: Plan, one: Event) -> dict[str, Any]:
    """By what the script finds somebody in a list that has other names: as `accounts.Accounts` does."""
    if one.operation == "clerk":
        return {"role": CLERK, "number": _HOTLINE.index(one.user)}
    return {"role": CHAIR, "sites": [one.site, plan.evening.by_code[one.site].site.id]}
