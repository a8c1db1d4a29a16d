from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.contract import OPERATIONS, Ask, Backend, Outcome, Reply, Report, Session, Site, evening, signed_in
from loadtests.target.extraction import _FORMS
from loadtests.target.mapping import REFERENCE, Mapped, load_mapping, target_backend
from loadtests.target.templates import _NOT_REPEATED, VARIABLES
from simulation.errors import InputError

SITE = Site("0042", "Adair/Adair 1", "Adair", "Adair 1", 5, ("ada", "ben"))
REPORT = Report(100, {"ada": 60, "ben": 40}, {"ada": 55, "ben": 45}, {"ada": 3, "ben": 2})
SESSION = Session("0042", "phone-1", {"token": "t0k3n", "sid": "c00kie"})
ASK = Ask(SESSION, SITE, REPORT, key="k-12345678", photo=b"\xff\xd8picture")


@pytest.fixture
def mapped(tmp_path: Path):
    """A backend from the text of a mapping; secrets come from `environment`."""

    def made(text: str, **environment: str) -> Mapped:
        path = tmp_path / "ours.toml"
        path.write_text(text)
        return load_mapping(path, "run-1", SITE.groups, environment)

    return made


@pytest.fixture
def mistakes(mapped):
    """What is said of a mapping that cannot be used."""

    def found(text: str, **environment: str) -> list[str]:
        with pytest.raises(InputError) as caught:
            mapped(text, **environment)
        return [re.sub(r"^\S*/ours.toml: ", "", problem) for problem in caught.value.problems]

    return found


def reply(status: int = 200, said: Any = None, **headers: str) -> Reply:
    body = said.encode() if isinstance(said, str) else b"" if said is None else json.dumps(said).encode()
    return Reply.of(status, [(name.replace("_", "-"), value) for name, value in headers.items()], body)


# What is sent


def test_our_own_backend_is_described_in_the_same_words():
    ours = load_mapping(REFERENCE, "run-1", SITE.groups, {})
    assert isinstance(ours, Backend)
    assert evening(ours) == ("report.open", "report.first_alignment", "report.final", "photo")
    request = ours.build("report.final", ASK)
    assert (request.method, request.path, request.name) == ("POST", "/v1/reports/0042/final", "report.final")
    assert json.loads(request.body or b"") == {"counts": {"ada": 55, "ben": 45}, "delegates": {"ada": 3, "ben": 2}}
    assert request.headers["Authorization"] == "Bearer t0k3n"
    assert request.headers["Idempotency-Key"] == "k-12345678"


def test_every_request_says_which_run_it_belongs_to(mapped):
    request = mapped('[results]\npath = "/totals"').build("results", Ask())
    assert request.headers["X-Caucus-Run"] == "run-1"
    assert "load test" in request.headers["User-Agent"]


def test_a_whole_variable_keeps_its_type_and_one_within_words_becomes_text(mapped):
    ours = mapped(
        '[report]\npath = "/r"\njson = { people = "{attendees}", says = "{attendees} people", all = "{final}" }'
    )
    assert json.loads(ours.build("report", ASK).body or b"") == {
        "people": 100,
        "says": "100 people",
        "all": {"ada": 55, "ben": 45},
    }


def test_an_optional_variable_leaves_its_member_and_header_out(mapped):
    ours = mapped('[report]\npath = "/r"\njson = { why = "{correction?}" }\nheaders = { X-Why = "{correction}" }')
    first, corrected = ours.build("report", ASK), ours.build("report", Ask(SESSION, SITE, REPORT, correction="sum"))
    assert (first.body, "X-Why" in first.headers) == (b"{}", False)
    assert (corrected.body, corrected.headers["X-Why"]) == (b'{"why":"sum"}', "sum")


def test_rows_and_keys_are_repeated_for_each_group_under_its_name_there(mapped):
    ours = mapped("""
        groups = { ada = "cand-1" }
        [report]
        path = "/r"
        json.rows = [{ who = "{row.group}", votes = ["{row.first}", "{row.final}"] }]
        json.seats = { "seats_{row.group}" = "{row.delegates}" }
    """)
    assert json.loads(ours.build("report", ASK).body or b"") == {
        "rows": [{"who": "cand-1", "votes": [60, 55]}, {"who": "ben", "votes": [40, 45]}],
        "seats": {"seats_cand-1": 3, "seats_ben": 2},
    }


def test_a_form_has_a_field_for_each_group(mapped):
    ours = mapped('[report]\npath = "/r"\nform = { n = "{attendees}", "final[{row.group}]" = "{row.final}" }')
    request = ours.build("report", ASK)
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs((request.body or b"").decode()) == {"n": ["100"], "final[ada]": ["55"], "final[ben]": ["45"]}


def test_xml_repeats_a_row_and_no_value_breaks_out_of_its_place(mapped):
    ours = mapped("""
        [report]
        path = "/r"
        content_type = "application/xml"
        text = "<report site='{site.id}' people='{attendees}'>{rows}</report>"
        row = "<g n='{row.group}'>{row.final}</g>"
    """)
    site = Site("1", "O'Brien & <Sons>", "", "", 5, ("ada", "b<n"))
    request = ours.build("report", Ask(SESSION, site, REPORT))
    assert (request.body or b"").decode() == (
        "<report site='O&apos;Brien &amp; &lt;Sons&gt;' people='100'><g n='ada'>55</g><g n='b&lt;n'>0</g></report>"
    )


_ANYWHERE = """
[report]
path = "/precincts/{site.id}/sheet?by={login.who}"
headers = { X-Key = "{key}" }
json = { ref = "{key}", site = "at {site.id}", rows = [{ who = "{row.group}", votes = "{row.final}" }] }
[login]
path = "/in"
form = { who = "{user}", "pin of {user}" = "{pin}" }
extract = { who = "/who" }
"""


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    path = tmp_path_factory.mktemp("mapping") / "anywhere.toml"
    path.write_text(_ANYWHERE)
    return load_mapping(path, "run-1", ("ada",), {})


@given(name=st.text(min_size=1), group=st.text(min_size=1))
def test_no_name_of_a_site_a_group_or_a_person_leaves_its_place(anywhere: Mapped, name: str, group: str):
    site, report = Site("1", name, "", "", 5, (group,)), Report(1, {group: 1}, {group: 1}, {group: 1})
    request = anywhere.build("report", Ask(Session("u", "d", {"who": name}), site, report, key=name))
    assert re.fullmatch(r"/precincts/[A-Za-z0-9%_.~-]+/sheet\?by=[A-Za-z0-9%_.~-]+", request.path)
    rows = [{"who": group, "votes": 1}]
    assert json.loads(request.body or b"") == {"ref": name, "site": f"at {name}", "rows": rows}
    assert not any("\n" in value or "\r" in value for value in request.headers.values())
    form = parse_qs((anywhere.build("login", Ask(user=name, pin=group)).body or b"").decode(), strict_parsing=True)
    assert form == {"who": [name], f"pin of {name}": [group]}


def test_a_photo_is_sent_as_it_is_or_as_a_part(mapped):
    raw = mapped('[photo]\npath = "/p"\nraw = "photo"').build("photo", ASK)
    assert (raw.body, raw.headers["Content-Type"]) == (ASK.photo, "image/jpeg")
    part = mapped('[photo]\npath = "/p"\nmultipart = { ref = "{key}", file = { photo = "{site.code}.jpg" } }').build(
        "photo", ASK
    )
    boundary = part.headers["Content-Type"].partition("boundary=")[2].encode()
    pieces = (part.body or b"").split(b"--" + boundary)
    assert pieces[0] == b""
    assert pieces[1] == b'\r\nContent-Disposition: form-data; name="ref"\r\n\r\nk-12345678\r\n'
    assert b'filename="0042.jpg"\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8picture\r\n' in pieces[2]
    assert pieces[3] == b"--\r\n"


def test_sites_have_the_names_of_a_file_where_one_is_given(mapped, tmp_path: Path):
    (tmp_path / "sites.csv").write_text("code,name\n0042,IA-ADR-1\n")
    ours = mapped("""
        sites = "sites.csv"
        [report]
        path = "/r/{site.name}"
        json = {}
        [stored]
        path = "/all"
        extract.records = { rows = "", site = "/s" }
    """)
    assert ours.build("report", ASK).path == "/r/IA-ADR-1"
    assert ours.read("stored", reply(said=[{"s": "IA-ADR-1"}])).values["records"] == [{"site": "0042"}]


# What is read


def test_what_log_in_gives_is_sent_with_everything_after_it(mapped):
    ours = mapped("""
        signed_in.headers = { Cookie = "sid={login.sid}" }
        [login]
        path = "/in"
        form = { u = "{user}", p = "{pin}" }
        extract = { sid = { cookie = "sid" }, csrf = { regex = 'csrf=(\\w+)' }, zone = { header = "X-Zone" } }
        [resume]
        path = "/mine?csrf={login.csrf}"
    """)
    answer = reply(200, "<p>csrf=abc</p>", Set_Cookie="theme=dark; Path=/, sid=s3cret; HttpOnly", X_Zone="west")
    ask = Ask(user="0042", pin="123456", device="phone-1")
    session = signed_in(ask, ours.read("login", answer))
    assert dict(session.values) == {"sid": "s3cret", "csrf": "abc", "zone": "west"}
    request = ours.build("resume", Ask(session, SITE))
    assert (request.path, request.headers["Cookie"]) == ("/mine?csrf=abc", "sid=s3cret")
    assert "Cookie" not in ours.build("login", ask).headers


@pytest.mark.parametrize(
    ("status", "said", "verdict", "replayed"),
    [
        (201, {}, "accepted", False),
        (201, {"seen": "yes"}, "accepted", True),
        (201, {"error": True}, "refused", False),
        (409, {}, "refused", False),
        (302, {}, "refused", False),
        (429, {}, "busy", False),
        (503, {}, "busy", False),
        (500, {}, "unclear", False),
        (502, "<html>", "unclear", False),
    ],
)
def test_an_answer_is_a_promise_a_refusal_a_request_for_patience_or_unclear(mapped, status, said, verdict, replayed):
    ours = mapped("""
        [report]
        path = "/r"
        json = {}
        refused_when = { json = "/error", is = true }
        replayed = { json = "/seen", is = "yes" }
    """)
    outcome = ours.read("report", reply(status, said))
    assert (outcome.verdict, outcome.replayed) == (verdict, replayed)


def test_retry_after_is_understood_as_seconds_and_as_a_date(mapped):
    ours = mapped('[report]\npath = "/r"\njson = {}')
    assert ours.read("report", reply(503, Retry_After="7")).retry_after_s == 7
    dated = reply(
        429, Retry_After="Tue, 04 Feb 2020 02:00:30 GMT", Date="Tue, 04 Feb 2020 02:00:00 GMT"
    )  # by the server's own clock
    assert ours.read("report", dated).retry_after_s == 30
    assert ours.read("report", reply(503, Retry_After="soon")).retry_after_s is None


def test_counts_are_read_from_objects_and_from_rows_in_the_nights_names(mapped):
    ours = mapped("""
        groups = { ada = "cand-1" }
        [results]
        path = "/t"
        extract.final = "/totals"
        extract.first_alignment = { rows = "/list", group = "/who", count = "/votes" }
        extract.sites = { rows = "/by", site = "@key", final = "" }
    """)
    said = {"totals": {"cand-1": "55"}, "list": [{"who": "cand-1", "votes": 60}], "by": {"P1": {"cand-1": 5, "ben": 4}}}
    assert dict(ours.read("results", reply(said=said)).values) == {
        "final": {"ada": 55},
        "first_alignment": {"ada": 60},
        "sites": [{"site": "P1", "final": {"ada": 5, "ben": 4}}],
    }


def test_rows_are_read_from_xml_too(mapped):
    ours = mapped("""
        [stored]
        path = "/all"
        [stored.extract.records]
        rows = { regex = '<sheet.*?</sheet>' }
        site = { regex = 'site="([^"]*)"' }
        attendees = { regex = '<n>(\\d+)</n>' }
        final = { rows = { regex = '<g .*?/>' }, group = { regex = 'n="(.*?)"' }, count = { regex = 'v="(.*?)"' } }
    """)
    said = '<all><sheet site="P1"><n>9</n>\n<g n="ada" v="5"/><g n="ben" v="4"/></sheet><sheet site="P2"></sheet></all>'
    assert ours.read("stored", reply(said=said)).values["records"] == [
        {"site": "P1", "attendees": "9", "final": {"ada": 5, "ben": 4}},
        {"site": "P2", "final": {}},
    ]


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_answer_however_broken_brings_a_reader_down(body: bytes, status: int):
    ours = load_mapping(REFERENCE, "run-1", SITE.groups, {})
    for operation in ours.operations:
        outcome = ours.read(operation, Reply(status, {"retry-after": "x"}, body))
        assert isinstance(outcome, Outcome)
        dict(outcome.values)


# Mistakes


def test_every_mistake_is_told_at_once_with_its_key_and_what_would_be_right(mistakes):
    found = mistakes("""
        nmae = "x"
        groups = { adda = "1" }
        [login]
        path = "in"
        json = { u = "{usr}" }
        methd = "POST"
        [signed_in.headers]
        Cookie = "{login.sid}"
        [report]
        path = "/r"
        method = "FETCH"
        json = { a = "{final.bne}", b = "{row.final}", c = "{pin}", d = "}" }
        accepted = [2000]
        extract = { vresion = "/v" }
        [results]
        path = "/t/{secret.KEY}"
        extract.final = "totals"
    """)
    assert found == [
        "nmae: unknown key; did you mean name?",
        "groups.adda: unknown key; did you mean ada?",
        "signed_in.headers.Cookie = '{login.sid}': [login] extract does not take 'sid'; it takes nothing",
        "login.methd: unknown key; did you mean method?",
        "login.path is 'in': expected a path that begins with one /",
        "login.json.u = '{usr}': unknown variable {usr}; did you mean user?",
        "report.method = 'FETCH': expected one of GET, POST, PUT, PATCH, DELETE",
        "report.accepted = [2000]: expected a list of HTTP statuses, such as [200, 201]",
        "report.extract.vresion: unknown key; did you mean version?",
        "report.json.a = '{final.bne}': this night has no group 'bne'; did you mean ben?",
        "report.json.c = '{pin}': {pin} means nothing in report; only in login",
        "report.json.d = '}': a single '}'; a brace that is meant is written twice",
        f"report.json: {_NOT_REPEATED}",
        "results.path = '/t/{secret.KEY}': {secret.KEY} is a secret, and addresses are logged; use a header",
        f"results.extract.final = 'totals': expected {_FORMS}",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[login]\npath = "//evil.example/x"', "begins with one /"),
        ('[login]\npath = "https://evil.example/x"', "begins with one /"),
        ('[login]\npath = "/in?pin={pin}"', "is a secret"),
        ('[login]\npath = "/in"\nquery = { pin = "{pin}" }', "is a secret"),
        ('[login]\npath = "/in"\nheaders = { Key = "{secret.KEY}" }', "the environment has no CAUCUS_TARGET_KEY"),
        ('[login]\npath = "/in"\njson = {}\nform = {}', "json and form: a request has one body"),
        ('[report]\npath = "/r"\ntext = "x"\ncontent_type = "application/json"', "JSON is written as a table"),
        ('[report]\npath = "/r"\n[report.final]\npath = "/f"', "whole or in steps, not both"),
        ('[report.open]\npath = "/o"', "[report.final] is missing"),
        ('[report]\npath = "/r"\nform = { a = { b = "1" } }', "no tables within tables"),
        ('[report]\npath = "/r"\njson = { at = 2020-02-03 }', "JSON has none"),
        ('[report]\npath = "/r"\nraw = "photo"', "in [photo]"),
        ('[results]\npath = "/t"\nextract.final = { regex = "(" }', "not a regular expression"),
        ('[stored]\npath = "/t"\nextract.records = "/x"', "rows and what of each"),
        ('[stored]\npath = "/t"\nsteps = { a = "b" }', "a table of its names and ours"),
        ('sites = "none.csv"', "No such file"),
        ('[login]\npath = "/in"\nheaders = { "bad name" = "x" }', "a header's name"),
        ('groups = { ada = "1", ben = "1" }', "a name of its own for each group"),
        ("[login", "not a TOML file"),
    ],
)
def test_what_could_not_work_or_would_not_be_safe_is_refused(mistakes, text: str, says: str):
    assert says in " ".join(mistakes(text))


def test_a_secret_comes_from_the_environment_and_is_never_shown(mapped):
    ours = mapped('headers = { Key = "{secret.API_KEY}" }\n[results]\npath = "/t"', CAUCUS_TARGET_API_KEY="hush-hush")
    request = ours.build("results", Ask())
    assert request.headers["Key"] == "hush-hush"
    shown = f"{request!r} {ours!r} {Ask(pin='hush-hush')!r} {Session('u', 'd', {'token': 'hush-hush'})!r}"
    assert "hush-hush" not in shown


# In Python


def test_a_class_is_taken_where_it_is_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.py").write_text(
        "class Good:\n    operations = frozenset(['results'])\n"
        "    def __init__(self, run_id, secrets): pass\n    def build(self, operation, ask): ...\n"
        "    def read(self, operation, reply): ...\n"
        "class Half:\n    def __init__(self, run_id, secrets): pass\n"
        "class Old:\n    pass\n"
        "class Odd(Good):\n    operations = frozenset(['resluts'])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert target_backend(None, "mine:Good", "run-1").operations == {"results"}
    for name, says in (
        ("mine:Half", "expected operations, build and read"),
        ("mine:Old", "called with run_id= and secrets="),
        ("mine:Odd", "unknown operations ['resluts']"),
        ("mine:None_", "that can be imported"),
        ("nowhere:Good", "that can be imported"),
        ("mine", "that can be imported"),
    ):
        with pytest.raises(InputError, match=re.escape(says)):
            target_backend(None, name, "run-1")


def test_a_mapping_and_a_class_are_not_given_together():
    with pytest.raises(InputError, match="give one of them"):
        target_backend(REFERENCE, "mine:Good", "run-1")


# The page for engineers


@pytest.fixture(scope="module")
def page() -> str:
    return (Path(__file__).parents[3] / "docs" / "guide-engineers.md").read_text()


def test_the_page_for_engineers_names_every_variable_operation_and_metric(page: str):
    from loadtests.backend.operation import METRICS

    for variable in VARIABLES:
        assert f"| `{{{variable.name}}}` | {variable.says} |" in page
    for operation in OPERATIONS:
        assert f"| `[{operation}]` |" in page
    for metric in METRICS:
        assert f"| `{metric.name}` | {metric.line} |" in page


def test_the_example_on_the_page_for_engineers_is_a_mapping(page: str, tmp_path: Path):
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "example.toml").write_text(example)
    ours = load_mapping(tmp_path / "example.toml", "run-1", ("Sanders", "Warren"), {"CAUCUS_TARGET_API_KEY": "x"})
    assert ours.operations == {"login", "report", "results", "stored", "cleanup"}
