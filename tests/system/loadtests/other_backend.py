"""A reporting backend that is nothing like ours: form log-in with a cookie and an API key, one nested JSON a report,
200 for everything, ids for codes, numbers for candidates, a cursor for pages, multipart photos.

`OtherBackend(..., defects={...})` breaks a promise on purpose; `MAPPING` is how the harness is told to speak to it.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API_KEY = "key-of-the-other-backend"
DEFECTS = frozenset(
    {
        "loses",  # acknowledges every third report, and stores it nowhere
        "doubles",  # stores every third report twice
        "alters",  # one person fewer in the first row of every third report
        "mis-tallies",  # counts the first report twice in the public sums
        "backwards",  # numbers its records downward
        "forgets keys",  # a retry is a new report
        "any PIN",  # lets everybody in
        "any precinct",  # lets everybody report for everybody
        "breaks off",  # stores every third report, and hangs up instead of answering
    }
)

MAPPING = """
name = "the other backend"

[groups]
ada = "cand-1"
ben = "cand-2"
cleo = "cand-3"

[headers]
X-Api-Key = "{secret.API_KEY}"

[signed_in]
headers = { Cookie = "sid={login.sid}" }

[login]
path = "/session"
form = { who = "{user}", code = "{pin}" }
refused_when = { json = "/ok", is = false }
extract = { sid = { cookie = "sid" }, precinct = "/precinct" }
problem = "/why"

[report]
method = "PUT"
path = "/precincts/{site.id}/sheet"
refused_when = { json = "/ok", is = false }
replayed = { json = "/seen", is = true }
extract = { version = "/no" }
problem = "/why"

[report.json]
ref = "{key}"
sheet.people = "{attendees}"
sheet.rows = [{ who = "{row.group}", rounds = ["{row.first}", "{row.final}"], seats = "{row.delegates}" }]
marks = ["test", "{run_id}"]

[photo]
path = "/precincts/{site.id}/picture"
multipart = { ref = "{key}", file = { photo = "sheet.jpg" } }
refused_when = { json = "/ok", is = false }

[results]
path = "/tally"
extract.release = "/asOf"
extract.attendees = "/people"
extract.first_alignment = { rows = "/rows", group = "/who", count = "/rounds/0" }
extract.final = { rows = "/rows", group = "/who", count = "/rounds/1" }

[stored]
path = "/archive"
query = { cursor = "{after?}" }

[stored.extract]
next = "/cursor"

[stored.extract.records]
rows = "/sheets"
site = "/precinct"
key = "/ref"
version = "/no"
attendees = "/sheet/people"
first_alignment = { rows = "/sheet/rows", group = "/who", count = "/rounds/0" }
final = { rows = "/sheet/rows", group = "/who", count = "/rounds/1" }
delegates = { rows = "/sheet/rows", group = "/who", count = "/seats" }

[cleanup]
method = "DELETE"
path = "/marks/{run_id}"
"""


class OtherBackend:
    """The backend, listening on a free port of this machine until it is closed."""

    def __init__(self, pins: Mapping[str, str], precincts: Iterable[str], defects: Iterable[str] = ()) -> None:
        """`pins` of its chairs by precinct."""
        self.pins = dict(pins)
        self.precincts = set(precincts)
        self.defects = frozenset(defects)
        assert self.defects <= DEFECTS
        self.sheets: list[dict[str, Any]] = []
        self.pictures: dict[str, bytes] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.sessions: dict[str, str] = {}
        self.agents: set[tuple[str, str]] = set()
        self.reports = 0
        self.numbers = 0
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> OtherBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What it does; each returns what is answered, or None to hang up

    def sign_in(self, who: str, code: str) -> tuple[dict[str, Any], str]:
        if who not in self.pins or (self.pins[who] != code and "any PIN" not in self.defects):
            return {"ok": False, "why": "no"}, ""
        sid = secrets.token_hex(16)
        self.sessions[sid] = who
        return {"ok": True, "precinct": who}, sid

    def take(self, who: str | None, precinct: str, written: Mapping[str, Any]) -> dict[str, Any] | None:
        if who is None or (who != precinct and "any precinct" not in self.defects) or precinct not in self.precincts:
            return {"ok": False, "why": "not yours"}
        with self.lock:
            known = self.seen.get(written["ref"])
            if known is not None and "forgets keys" not in self.defects:
                if known["sheet"] != written["sheet"]:
                    return {"ok": False, "why": "that reference is taken"}
                return {"ok": True, "no": known["no"], "seen": True}
            self.reports += 1
            third = self.reports % 3 == 1
            self.numbers += 1
            number = 1000 - self.numbers if "backwards" in self.defects else self.numbers
            made = {"no": number, "precinct": precinct, **json.loads(json.dumps(written))}
            self.seen[written["ref"]] = made
            if "alters" in self.defects and third:
                made = json.loads(json.dumps(made))
                made["sheet"]["rows"][0]["rounds"][1] -= 1
            if not ("loses" in self.defects and third):
                self.sheets.append(made)
            if "doubles" in self.defects and third:
                self.numbers += 1
                self.sheets.append({**made, "no": self.numbers})
            if "breaks off" in self.defects and third:
                return None
            return {"ok": True, "no": number}

    def tally(self) -> dict[str, Any]:
        with self.lock:
            latest = {sheet["precinct"]: sheet["sheet"] for sheet in self.sheets}
            counted = list(latest.values()) + (
                [self.sheets[0]["sheet"]] if "mis-tallies" in self.defects and latest else []
            )
            rounds: dict[str, list[int]] = {}
            for sheet in counted:
                for row in sheet["rows"]:
                    sums = rounds.setdefault(row["who"], [0, 0])
                    sums[0] += row["rounds"][0]
                    sums[1] += row["rounds"][1]
            rows = [{"who": who, "rounds": sums} for who, sums in rounds.items()]
            return {"asOf": len(self.sheets), "people": sum(sheet["people"] for sheet in counted), "rows": rows}

    def archive(self, cursor: int) -> dict[str, Any]:
        with self.lock:
            page = self.sheets[cursor : cursor + 2]
            following = cursor + 2 if cursor + 2 < len(self.sheets) else None
            return {"sheets": page, "cursor": following}

    def remove(self, mark: str) -> None:
        with self.lock:
            self.sheets = [sheet for sheet in self.sheets if mark not in sheet["marks"]]


def _handler_of(backend: OtherBackend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            path, body = unquote(self.path), self._body()
            if not self._has_key():
                self._answer({"ok": False, "why": "no key"}, status=403)
            elif path == "/session":
                fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                answer, sid = backend.sign_in(fields["who"], fields["code"])
                cookie = [("Set-Cookie", "theme=dark; Path=/"), ("Set-Cookie", f"sid={sid}; HttpOnly")] if sid else []
                self._answer(answer, cookie)
            elif path.endswith("/picture"):
                parts = body.split(b"\r\n\r\n", 2)  # of the reference, of the file
                if self._who() is None:
                    self._answer({"ok": False, "why": "who?"})
                else:
                    backend.pictures[path.split("/", 2)[2].removesuffix("/picture")] = parts[2].rpartition(b"\r\n--")[0]
                    self._answer({"ok": True})
            else:
                self._answer({}, status=404)

        def do_PUT(self) -> None:
            precinct = re.fullmatch(r"/precincts/([^/]+)/sheet", self.path)
            written = json.loads(self._body())
            if precinct is None or not self._has_key():
                self._answer({}, status=404)
                return
            answer = backend.take(self._who(), unquote(precinct.group(1)), written)
            if answer is None:
                self.close_connection = True
                self.connection.close()
            else:
                self._answer(answer)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/tally":
                self._answer(backend.tally())
            elif parts.path == "/archive" and self._has_key():
                self._answer(backend.archive(int(parse_qs(parts.query).get("cursor", ["0"])[0])))
            else:
                self._answer({}, status=404)

        def do_DELETE(self) -> None:
            backend.remove(self.path.rpartition("/")[2])
            self._answer({"ok": True})

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _who(self) -> str | None:
            found = re.search(r"sid=([0-9a-f]+)", self.headers.get("Cookie", ""))
            return backend.sessions.get(found.group(1)) if found else None

        def _has_key(self) -> bool:
            return self.headers.get("X-Api-Key") == API_KEY

        def _body(self) -> bytes:
            backend.agents.add((self.headers.get("User-Agent", ""), self.headers.get("X-Caucus-Run", "")))
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))

        def _answer(self, said: Mapping[str, Any], more: Iterable[tuple[str, str]] = (), status: int = 200) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            for name, value in more:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
