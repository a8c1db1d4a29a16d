"""The sealed list of PINs: made once, written to one file, kept as hashes only.

Also the demo's known PINs, which a backend that is no demo refuses to start with. Knows nothing of log-ins.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyotp
import sqlalchemy as sa

from loadtests.backend import audit_log, storage
from loadtests.backend.identity.hashing import Pins
from loadtests.backend.identity.roles import ADMINISTRATOR, CHAIR, CLERK, OBSERVER, REVIEWER
from loadtests.backend.settings import Hashing
from loadtests.backend.storage import DEMO, accounts, caucus, events, failures, sessions
from simulation.errors import InputError

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

COLUMNS = ("user", "role", "site", "pin", "totp_secret")
DIGITS = 6  # of a chair's PIN, read from a sealed letter in a gymnasium
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # of staff PINs: none that look alike
STAFF_LENGTH = 12
DEMO_ISSUED = "demo_pins_issued"  # the event
DEMO_STAFF = {CLERK: 4, REVIEWER: 2, ADMINISTRATOR: 1, OBSERVER: 1}
DEMO_CHAIR_PIN = "202020"
DEMO_STAFF_PIN = "demo-only-2020"


@dataclass(frozen=True, slots=True)
class Issued:
    """One line of the list; its secrets are not shown."""

    user: str
    role: str
    site: str | None
    pin: str = field(repr=False)
    totp_secret: str | None = field(default=None, repr=False)


def make(sites: Iterable[str], staff: Mapping[str, int], second_factor: Iterable[str]) -> list[Issued]:
    """A new PIN for every chair and so many of the staff of each role; secrets for the roles with a second factor."""
    asked = frozenset(second_factor)
    users: list[tuple[str, str, str | None]] = [(code, CHAIR, code) for code in sites]
    users += [(f"{role}-{number:02d}", role, None) for role, count in staff.items() for number in range(1, count + 1)]
    return [
        Issued(user, role, site, _pin(role), pyotp.random_base32() if role in asked else None)
        for user, role, site in users
    ]


def renew(database: Database, users: Sequence[str]) -> list[Issued]:
    """New secrets for some users, who keep their roles. InputError lists those who are not there."""
    _refuse_demo(database)
    with database.engine.connect() as connection:
        rows = {row.user: row for row in connection.execute(sa.select(accounts).where(accounts.c.user.in_(users)))}
    missing = [user for user in users if user not in rows]
    if missing:
        raise InputError([f"--only {user}: there is no such user" for user in missing])
    return [
        Issued(row.user, row.role, row.site, _pin(row.role), pyotp.random_base32() if row.totp_secret else None)
        for row in rows.values()
    ]


def issue(
    database: Database, issued: Sequence[Issued], out: Path, cost: Hashing, progress: Callable[[int, int, str], None]
) -> None:
    """Write the list to a new file of its owner's, then the hashes into the database; neither without the other.

    Users who were there lose their old PIN and every session.
    """
    hashed = []
    pins = Pins(cost)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, pin_hash in enumerate(pool.map(pins.hash, (one.pin for one in issued)), 1):
            hashed.append(pin_hash)
            progress(done, len(issued), "hashing PINs")
    _write(out, issued)
    try:
        _store(database, issued, hashed, "pins_issued")
    except BaseException:
        out.unlink()
        raise


def issue_demo(database: Database, out: Path) -> None:
    """The demo's accounts, all with the same two PINs; nothing where they are there. InputError where others are."""
    known = demo_is_there(database)
    if known is None:
        made = make((site.code for site in database.sites()), DEMO_STAFF, ())
        issued = [replace(one, pin=DEMO_CHAIR_PIN if one.role == CHAIR else DEMO_STAFF_PIN) for one in made]
        pins = Pins(Hashing())
        of_chairs, of_staff = pins.hash(DEMO_CHAIR_PIN), pins.hash(DEMO_STAFF_PIN)
        _store(database, issued, [of_chairs if one.role == CHAIR else of_staff for one in issued], DEMO_ISSUED)
        out.unlink(missing_ok=True)
        _write(out, issued)
    elif not known:
        raise InputError(f"--demo: {database.shown_url} has real PINs; a demo needs a database of its own (--data DIR)")


def demo_is_there(database: Database) -> bool | None:
    """Whether the demo's PINs were ever given out here; None where nobody can log in at all.

    The mark stays, whoever gets another PIN afterwards. Demos that were made before there was one have the event.
    """
    with database.engine.connect() as connection:
        if connection.execute(sa.select(caucus.c.name).where(caucus.c.name == DEMO)).first() is not None:
            return True
        if connection.execute(sa.select(events.c.id).where(events.c.kind == DEMO_ISSUED).limit(1)).first() is not None:
            return True
        return None if connection.execute(sa.select(accounts.c.user).limit(1)).first() is None else False


def refuse_existing(out: Path, database: Database) -> None:
    """InputError where the file is there, or where PINs were issued before."""
    refuse_file(out)
    _refuse_demo(database)
    with database.engine.connect() as connection:
        if connection.execute(sa.select(accounts.c.user).limit(1)).first() is not None:
            raise InputError(f"{database.shown_url}: PINs were issued before; --only USER gives a user a new one")


def _refuse_demo(database: Database) -> None:
    if demo_is_there(database):
        raise InputError(
            f"{database.shown_url}: is a demo's, whose PINs are known to everybody: real ones need a database of "
            "their own (--data DIR or --database URL)"
        )


def refuse_file(out: Path) -> None:
    """InputError where a file is there, or where none can be."""
    if out.exists():
        raise InputError(f"--out {out}: is there already; a list of PINs is never overwritten")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist")


def _pin(role: str) -> str:
    if role == CHAIR:
        return f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    return "".join(secrets.choice(LETTERS) for _ in range(STAFF_LENGTH))


def _write(out: Path, issued: Sequence[Issued]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows((one.user, one.role, one.site or "", one.pin, one.totp_secret or "") for one in issued)
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())


def _store(database: Database, issued: Sequence[Issued], hashed: Sequence[str], kind: str) -> None:
    at = storage.now()
    users = [one.user for one in issued]
    rows = [
        {
            "user": one.user,
            "role": one.role,
            "site": one.site,
            "pin_hash": pin_hash,
            "totp_secret": one.totp_secret,
            "created_at": at,
        }
        for one, pin_hash in zip(issued, hashed, strict=True)
    ]
    with database.writing() as connection:
        for some in (users[i : i + 500] for i in range(0, len(users), 500)):
            # first of all: log-ins that are being written are waited for, and those that come wait for this
            asked = sa.select(accounts.c.user).where(accounts.c.user.in_(some)).order_by(accounts.c.user)
            connection.execute(asked.with_for_update())
            for table in (sessions, failures, accounts):
                connection.execute(sa.delete(table).where(table.c.user.in_(some)))
        connection.execute(sa.insert(accounts), rows)
        if kind == DEMO_ISSUED:
            connection.execute(sa.insert(caucus), [{"name": DEMO, "value": "true"}])
        named = users if len(users) <= 20 else []
        audit_log.append(connection, kind, "-", {"accounts": len(users), "users": named})
