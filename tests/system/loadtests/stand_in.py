"""A reporting backend in one file, for tests of the users: it answers as ours does, keeps all in memory, checks little.

`python stand_in.py PINS GROUPS FAULT...` prints its address. Each FAULT is a way to be a bad backend: see `FAULTS`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import secrets
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

FAULTS = {
    "busy": "every third write is turned away once, with Retry-After",
    "short sessions": "a token is good for three requests",
    "open door": "any PIN is right",
    "no borders": "a chair may write anywhere",
    "forgetful": "every second table leaves out its first site",
    "short lives": "a token is good for four seconds, as the log-in says",
    "no order": "steps may come again, and in any order",
    "no recount": "the CSV and the JSON do not add up",
}


LIFE_S = 4


class StandIn:
    """All that it knows."""

    def __init__(self, pins: list[dict[str, str]], groups: list[str], faults: frozenset[str]) -> None:
        self.pins, self.groups, self.faults = {row["user"]: row for row in pins}, groups, faults
        self.sessions: dict[str, dict[str, str]] = {}
        self.ends_at: dict[str, float] = {}
        self.uses: dict[str, int] = defaultdict(int)
        self.sites: dict[str, dict[str, Any]] = defaultdict(lambda: {"state": "expected", "version": 0, "entries": []})
        self.answers: dict[tuple[str, str], dict[str, Any]] = {}
        self.turned_away: set[tuple[str, str]] = set()
        self.seen: dict[str, set[str]] = defaultdict(set)  # what tests ask for at /seen
        self.tables = 0  # that were asked for

    def login(self, asked: Mapping[str, Any], request: Request) -> Response:
        """A token for a PIN."""
        known = self.pins.get(str(asked.get("user")))
        self.seen["addresses"].add(request.client.host if request.client else "")
        if "open door" not in self.faults and (known is None or known["pin"] != asked.get("pin")):
            self.seen["wrong PINs"].add(str(asked.get("user"))[:20])
            return refused(401, "A02", "user or PIN is wrong")
        token = secrets.token_urlsafe(32)
        self.sessions[token] = {"user": str(asked["user"]), **(known or {"role": "chair", "site": "0001"})}
        address, device = request.client.host if request.client else "", request.headers["x-device"]
        self.seen["log-ins"].add(f"{len(self.sessions)} {asked['user']} {address} {device}")
        answer = {"token": token, "role": self.sessions[token]["role"]}
        if "short lives" in self.faults:
            self.ends_at[token] = time.time() + LIFE_S
            answer["expires_at"] = datetime.fromtimestamp(self.ends_at[token], UTC).isoformat()
        return JSONResponse(answer)

    def who(self, request: Request) -> dict[str, str] | None:
        """Whose token it is."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.uses[token] += 1
        if "short sessions" in self.faults and self.uses[token] > 3:
            return None
        return self.sessions.get(token) if time.time() < self.ends_at.get(token, time.time() + 1) else None

    def write(self, who: Mapping[str, str], key: str, site: str, step: str, asked: Mapping[str, Any]) -> Response:
        """One step of a report, an entry, a review."""
        if (who["user"], key) in self.answers:
            return JSONResponse(self.answers[who["user"], key], 201, {"Idempotency-Replayed": "true"})
        if "busy" in self.faults and (who["user"], key) not in self.turned_away and len(self.turned_away) % 3 == 0:
            self.turned_away.add((who["user"], key))
            return refused(503, "H09", "busy", {"Retry-After": "0"})
        self.turned_away.add((who["user"], key))
        record = self.sites[site]
        if "no order" not in self.faults:
            problem = getattr(self, f"do_{step.replace('-', '_')}")(record, asked, who["user"])
            if problem:
                return refused(409, *problem)
        record["version"] += 1
        answer = {"site": site, "version": record["version"], "state": record["state"], "warnings": []}
        self.answers[who["user"], key] = answer
        return JSONResponse(answer, 201)

    def do_open(self, record: dict[str, Any], asked: Mapping[str, Any], _: str) -> tuple[str, str] | None:
        if record["state"] != "expected":
            return "R13", "sent before"
        record |= {"state": "opened", "attendees": asked["attendees"]}
        return None

    def do_first_alignment(self, record: dict[str, Any], asked: Mapping[str, Any], _: str) -> tuple[str, str] | None:
        if record["state"] != "opened":
            return "R10", "open first"
        if sum(asked["counts"].values()) > record["attendees"]:
            return "R21", "more people than N"
        record |= {"state": "first_alignment", "first_alignment": asked["counts"]}
        return None

    def do_final(self, record: dict[str, Any], asked: Mapping[str, Any], _: str) -> tuple[str, str] | None:
        if record["state"] not in ("first_alignment", "returned"):
            return "R11", "the first alignment is missing"
        record |= {"final": asked["counts"], "delegates": asked["delegates"]}
        record["state"] = "in_review"  # every one: reviewers shall have something to do
        return None

    def do_photo(self, record: dict[str, Any], asked: Mapping[str, Any], _: str) -> tuple[str, str] | None:
        record["photo"] = asked["sha256"]
        return None

    def do_entry(self, record: dict[str, Any], asked: Mapping[str, Any], user: str) -> tuple[str, str] | None:
        figures = {name: asked[name] for name in ("attendees", "first_alignment", "final", "delegates")}
        if sum(figures["final"].values()) > figures["attendees"]:
            return "R22", "more people than N"
        if record["state"] not in ("expected", "entered_once"):
            return "R16", "held already"
        if any(entry["by"] == user for entry in record["entries"]):
            return "R30", "by another clerk"
        record["entries"].append({"by": user, **figures})
        if len(record["entries"]) == 1:
            record["state"] = "entered_once"
        elif {**record["entries"][0], "by": ""} == {**record["entries"][1], "by": ""}:
            record |= {"state": "accepted", **figures}
        else:
            record["state"] = "differs"
        return None

    def do_choose(self, record: dict[str, Any], asked: Mapping[str, Any], _: str) -> tuple[str, str] | None:
        if record["state"] != "differs":
            return "R32", "nothing to choose from"
        chosen = dict(record["entries"][asked["entry"] - 1])
        chosen.pop("by")
        record |= {"state": "in_review", **chosen}
        return None

    def do_return(self, record: dict[str, Any], _: Mapping[str, Any], __: str) -> tuple[str, str] | None:
        record |= {"state": "returned", "approved_by": None}
        return None

    def do_approve(self, record: dict[str, Any], _: Mapping[str, Any], user: str) -> tuple[str, str] | None:
        if record["state"] == "in_review":
            record |= {"state": "approved_once", "approved_by": user}
        elif record["state"] == "approved_once" and record["approved_by"] != user:
            record["state"] = "accepted"
        else:
            return "R34", "by two persons"
        return None

    def accepted(self) -> dict[str, dict[str, Any]]:
        """What the public sees."""
        return {code: record for code, record in sorted(self.sites.items()) if record["state"] == "accepted"}

    def release(self) -> int:
        """Its number: another one with each accepted record."""
        return sum(record["version"] for record in self.sites.values() if record["state"] == "accepted")

    def totals(self) -> dict[str, Any]:
        """Statewide."""
        found = self.accepted()
        return {
            "release": self.release(),
            "attendees": sum(record["attendees"] for record in found.values()),
            **{
                name: {group: sum(record[name].get(group, 0) for record in found.values()) for group in self.groups}
                for name in ("first_alignment", "final", "delegates")
            },
        }

    def table(self) -> str:
        """The same by site."""
        more = 1 if "no recount" in self.faults else 0
        lines = ["county,precinct,candidate,votes"]
        self.tables += 1
        shown = list(self.accepted().items())
        for code, record in shown[1:] if "forgetful" in self.faults and self.tables % 2 == 0 else shown:
            lines += [f"County,{code},{group},{votes + more}" for group, votes in record["final"].items()]
        return "\n".join(lines) + "\n"


def refused(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """What our backend answers when it does not."""
    return JSONResponse({"errors": [{"code": code, "message": message}]}, status, headers)


def conditional(request: Request, body: bytes, kind: str) -> Response:
    """A document with its ETag."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(body, 200, {"ETag": etag}, media_type=kind)


def application(held: StandIn) -> Starlette:
    """Its routes."""

    async def login(request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
        except (ValueError, RecursionError):
            return refused(400, "H01", "not JSON")
        return held.login(asked, request) if isinstance(asked, dict) else refused(422, "H07", "an object")

    async def logout(request: Request) -> Response:
        held.sessions.pop(request.headers.get("authorization", "").removeprefix("Bearer "), None)
        return Response(status_code=204)

    async def act(request: Request) -> Response:
        who = held.who(request)
        if who is None:
            return refused(401, "A01", "log in")
        site, step = request.path_params.get("site", ""), request.path_params.get("step", "entry")
        is_chair = who["role"] == "chair"
        own = is_chair and who["site"] == site and step in ("open", "first-alignment", "final", "photo")
        staff = {"clerk": ("entry",), "reviewer": ("approve", "return", "choose")}.get(who["role"], ())
        if not own and step not in staff and "no borders" not in held.faults:
            return refused(403, "A05", "not yours")
        try:
            body = await request.body()
        except ClientDisconnect:  # broken off: nobody is there to be answered
            return Response(status_code=400)
        if step == "photo":
            assert body.startswith(b"\x89PNG")
            held.seen["photos"].add(str(len(body)))
            asked: dict[str, Any] = {"sha256": hashlib.sha256(body).hexdigest()}
        else:
            asked = json.loads(body)
        return held.write(who, request.headers["idempotency-key"], asked.get("site", site), step, asked)

    async def resume(request: Request) -> Response:
        who = held.who(request)
        if who is None:
            return refused(401, "A01", "log in")
        if who["site"] != request.path_params["site"] and "no borders" not in held.faults:
            return refused(403, "A05", "not yours")
        return JSONResponse({"site": who["site"], **held.sites[request.path_params["site"]]})

    async def queue(request: Request) -> Response:
        who = held.who(request)
        if who is None or who["role"] != "reviewer":
            return refused(401 if who is None else 403, "A04", "not yours")
        waiting = ("in_review", "approved_once", "differs")
        rows = [{"site": code, **one} for code, one in sorted(held.sites.items()) if one["state"] in waiting]
        return JSONResponse({"reports": rows, "next": None})

    async def stored(request: Request) -> Response:
        return refused(401 if held.who(request) is None else 403, "A04", "not yours")

    async def figures(request: Request) -> Response:
        return conditional(request, json.dumps(held.totals()).encode(), "application/json")

    async def page(request: Request) -> Response:
        return conditional(request, f"<h1>{held.release()}</h1>".encode(), "text/html")

    async def table(request: Request) -> Response:
        return conditional(request, held.table().encode(), "text/csv")

    async def of_site(request: Request) -> Response:
        code = request.path_params["site"]
        if code not in held.pins and code not in held.sites:
            return refused(404, "H02", "no such site")
        record = held.sites.get(code, {"version": None})
        return conditional(request, json.dumps({"site": code, **record}).encode(), "application/json")

    async def of_county(request: Request) -> Response:
        return conditional(request, b"{}", "application/json")

    async def seen(_: Request) -> Response:
        return JSONResponse({name: sorted(values) for name, values in held.seen.items()})

    return Starlette(
        routes=[
            Route("/v1/login", login, methods=["POST"]),
            Route("/v1/logout", logout, methods=["POST"]),
            Route("/v1/entries", act, methods=["POST"]),
            Route("/v1/reports/{site}", resume),
            Route("/v1/reports/{site}/{step}", act, methods=["POST"]),
            Route("/v1/review", queue),
            Route("/v1/review/{site}/{step}", act, methods=["POST"]),
            Route("/v1/records", stored),
            Route("/results.json", figures),
            Route("/results", page),
            Route("/results.csv", table),
            Route("/results/sites/{site}.json", of_site),
            Route("/results/counties/{county}.json", of_county),
            Route("/seen", seen),
        ]
    )


def main(pins: str, groups: str, *faults: str) -> None:
    """Serve on a free port of this machine."""
    unknown = set(faults) - set(FAULTS)
    assert not unknown, unknown
    with open(pins, encoding="utf-8", newline="") as lines:
        held = StandIn(list(csv.DictReader(lines)), groups.split(","), frozenset(faults))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(application(held), log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
