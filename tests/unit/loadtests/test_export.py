"""The night for other tools: the same requests at the same times, and no secrets."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

import pytest

from loadtests.accounts import Account, Accounts
from loadtests.target.guards import Target
from loadtests.target.mapping import REFERENCE, Mapped, load_mapping
from loadtests.traffic.export import as_csv, as_vegeta, events, signed_in, write_k6
from loadtests.traffic.replay import Plan
from simulation.errors import InputError
from tests.unit.loadtests.load_runs import night_plan

URL = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return night_plan(tmp_path_factory.mktemp("night"))


@pytest.fixture
def backend(plan: Plan) -> Mapped:
    return load_mapping(REFERENCE, "export-1-0", plan.evening.groups)


def test_csv_has_every_request_at_its_time(plan: Plan, backend: Mapped):
    rows = list(csv.DictReader(io.StringIO(as_csv(plan, backend))))
    assert len(rows) == len(plan.schedule)
    for row, due_ns in zip(rows, plan.schedule.due_ns.tolist(), strict=True):
        assert float(row["due_s"]) == pytest.approx(due_ns / 1e9, abs=1e-6)
    assert {row["operation"] for row in rows} == {
        plan.schedule.operations[k] for k in set(plan.schedule.operation.tolist())
    }
    assert all(row["site"] for row in rows if row["operation"].startswith("report"))


def test_csv_counts_the_photos_that_the_night_has(plan: Plan, backend: Mapped):
    rows = [row for row in csv.DictReader(io.StringIO(as_csv(plan, backend))) if row["operation"] == "photo"]
    assert rows
    for row in rows:
        assert int(row["body_bytes"]) == plan.evening.by_code[row["site"]].photo_bytes


def test_vegeta_reads_a_target_a_line(plan: Plan, backend: Mapped):
    lines = [json.loads(line) for line in as_vegeta(plan, backend, URL).splitlines()]
    assert len(lines) == len(plan.schedule)
    for target, one in zip(lines, events(plan, backend), strict=True):
        assert target["method"] == one.request.method
        assert target["url"] == URL + one.request.path
        assert all(isinstance(value, list) for value in target["header"].values())
        assert base64.b64decode(target.get("body", "")) == (one.request.body or b"")


def test_what_a_log_in_gives_is_named_where_it_belongs_and_no_pin_is_written(plan: Plan, backend: Mapped):
    for one in events(plan, backend):
        if one.operation == "login":
            assert one.request.body is not None
            assert json.loads(one.request.body)["pin"] in ("@pin@", "000000")
        elif one.user:
            assert one.request.headers["Authorization"] == "Bearer @token@"


def test_the_stages_of_k6_add_up_to_the_night_and_it_knows_how_to_sign_in(plan: Plan, backend: Mapped, tmp_path: Path):
    write_k6(tmp_path / "k6", plan, backend, URL, REFERENCE)
    script = (tmp_path / "k6" / "night.js").read_text(encoding="utf-8")
    settings = json.loads(script.partition("const settings = ")[2].partition(";\n")[0])
    held = [stage for stage in settings["stages"] if stage["duration"] != "0s"]
    assert sum(stage["target"] * float(stage["duration"][:-1]) / 5 for stage in held) == len(plan.schedule)
    assert settings["login"]["path"] == "/v1/login"
    assert settings["login"]["extract"] == {"token": "/token", "expires_at": "/expires_at"}
    rows = json.loads((tmp_path / "k6" / "events.json").read_text(encoding="utf-8"))
    assert len(rows) == len(plan.schedule)
    assert any(row.get("photo") for row in rows)
    with pytest.raises(InputError, match="is there already"):
        write_k6(tmp_path / "k6", plan, backend, URL, REFERENCE)


def test_what_the_mapping_takes_from_the_environment_is_named_and_never_written(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CAUCUS_TARGET_API_KEY", "hush")
    mapping = tmp_path / "theirs.toml"
    text = REFERENCE.read_text("utf-8")
    line = 'X-Forwarded-For = "{forwarded_for?}"\n'
    mapping.write_text(text.replace(line, f'{line}X-Api-Key = "{{secret.API_KEY}}"\n'), "utf-8")
    backend = load_mapping(mapping, "export-1-0", plan.evening.groups, placeholders=True)
    write_k6(tmp_path / "k6", plan, backend, URL, mapping)
    written = "".join(path.read_text("utf-8", "replace") for path in (tmp_path / "k6").iterdir())
    written += as_vegeta(plan, backend, URL)
    assert "hush" not in written
    assert "@secret.API_KEY@" in written


def test_k6_finds_everybody_by_role_and_site(plan: Plan, backend: Mapped, tmp_path: Path):
    write_k6(tmp_path / "k6", plan, backend, URL, REFERENCE)
    people = json.loads((tmp_path / "k6" / "people.json").read_text(encoding="utf-8"))
    chairs = {one["user"]: one["sites"] for one in people if one["role"] == "chair"}
    assert chairs == {code: [code, plan.evening.by_code[code].site.id] for code in chairs}
    clerks = {one["user"]: one["number"] for one in people if one["role"] == "clerk"}
    assert clerks == {user: int(user.removeprefix("clerk-")) - 1 for user in clerks}
    assert len(chairs) + len(clerks) == len(people)
    rows = json.loads((tmp_path / "k6" / "events.json").read_text(encoding="utf-8"))
    log_ins = [json.loads(row["body"]) for row in rows if row["name"] == "login"]
    assert {one["user"] for one in log_ins} == {"@user@"}


def mapping_with_token(folder: Path, token: str) -> Path:
    """Our own mapping, which takes the token from a log-in's answer otherwise."""
    path = folder / "theirs.toml"
    ours = 'extract = { token = "/token", expires_at = "/expires_at" }'
    text = REFERENCE.read_text("utf-8")
    assert ours in text
    path.write_text(text.replace(ours, f"extract = {{ {token} }}"), "utf-8")
    return path


def test_what_a_log_in_gives_otherwise_than_in_json_is_refused_where_k6_would_need_it(plan: Plan, tmp_path: Path):
    mapping = mapping_with_token(tmp_path, 'token = { cookie = "sid" }')
    with pytest.raises(InputError, match=r"extract takes token otherwise than with a JSON pointer .*--format vegeta"):
        write_k6(tmp_path / "k6", plan, load_mapping(mapping, "export-1-0", plan.evening.groups), URL, mapping)
    assert not (tmp_path / "k6").exists()
    mapping = mapping_with_token(tmp_path, 'token = "/token", until = { header = "X-Until" }')
    write_k6(tmp_path / "k6", plan, load_mapping(mapping, "export-1-0", plan.evening.groups), URL, mapping)
    assert '"token": "/token"' in (tmp_path / "k6" / "night.js").read_text(encoding="utf-8")


def test_codes_of_a_second_factor_are_not_for_a_file(plan: Plan, backend: Mapped):
    nowhere = Target("http", "127.0.0.1", 1, "", ("127.0.0.1",), loopback=True)
    chairs = {each.site.id: Account(f"chair of {each.site.id}", "chair", each.site.id, "123456", "JBSWY3DPEHPK3PXP")
              for each in plan.evening.sites}  # fmt: skip
    with pytest.raises(InputError, match=r"sites sign in with a second factor, such as 0\d+, .* a file cannot"):
        signed_in(plan, backend, nowhere, Accounts(chairs, {}), None)


def test_photos_among_fields_are_refused_before_anything_is_written(plan: Plan, tmp_path: Path):
    mapping = tmp_path / "theirs.toml"
    text = REFERENCE.read_text("utf-8").replace('raw = "photo"', 'multipart = { image = { photo = "sheet.png" } }')
    mapping.write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"\[photo\].*vegeta"):
        write_k6(tmp_path / "k6", plan, load_mapping(mapping, "export-1-0", plan.evening.groups), URL, mapping)
    assert not (tmp_path / "k6").exists()
