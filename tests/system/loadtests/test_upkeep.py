"""Generators keep the sessions alive that their requests are sent with: here they last four seconds."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loadtests.accounts import Account
from loadtests.addresses import address
from loadtests.contract import Site
from loadtests.generator.processes import Generators
from loadtests.generator.upkeep import as_rows
from loadtests.ledger import Ledger
from loadtests.night import Night
from loadtests.target.guards import allowed
from loadtests.target.mapping import target_backend
from loadtests.target.sender import Sender
from loadtests.traffic.flows import SOURCE, Kit, packed
from loadtests.traffic.preparing import Preparation, two_reports
from loadtests.workload import constant, poisson

GROUPS = ("Biden", "Klobuchar", "Sanders", "Warren")
SITES = [Site(f"{n:04d}", f"Polk/{n}", "Polk", str(n), 5, GROUPS) for n in range(1, 25)]
CHAIRS = [Account(one.code, "chair", one.code, "123456") for one in SITES]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    rows = ["user,role,site,pin,totp_secret", *(f"{one.user},chair,{one.site},{one.pin}," for one in CHAIRS)]
    (tmp_path / "pins.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("stand_in.py")), str(tmp_path / "pins.csv")]
    with subprocess.Popen(
        [*command, ",".join(GROUPS), "short lives", "no order"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def test_no_session_ends_while_two_processes_make_load_and_each_is_renewed_by_one_of_them(
    url: str, tmp_path: Path
) -> None:
    target, night = allowed(url), Night(tuple(SITES), {one.code: 40 for one in SITES}, frozenset(), ballot=False)
    backend, ledger = target_backend(None, None, "run", GROUPS), Ledger(tmp_path / "ledger", "run")
    preparation = Preparation(backend, Sender(target, "run"), ledger, lambda _: None)

    def kit(name: str) -> Kit:
        return Kit(
            name=name, run_id="run", flow="report", mapping=None, target_class=None, groups=GROUPS,
            ledger=str(tmp_path / "ledger"), keyed=(),
            chairs=[packed(one, one.code, *two_reports(night, one)) for one in SITES],
            sessions=as_rows(preparation.signed_in(CHAIRS, "chair")),
            accounts=[[one.user, one.role, one.site, one.pin, ""] for one in CHAIRS],
        )  # fmt: skip

    with Generators(SOURCE, target, workers=2) as two:
        two.order["arguments"] = kit("one").as_arguments()
        two.run(constant(20, 0.2))  # by now the processes have loaded what they need
        two.kept.renewed_at.clear()
        two.order["arguments"] = kit("two").as_arguments()
        sample = two.run(poisson(60, 10, 1))
    ledger.close()
    assert sample.problems == {}
    assert int(np.count_nonzero(sample.ok)) == len(sample) > 400
    # from the first second on, then every 2.7 s
    assert 60 < len(two.kept.renewed_at) < 110
    assert max(Counter(int(at) for at in two.kept.renewed_at).values()) < len(CHAIRS)
    assert not two.kept.problems
    (notice,) = two.kept.notices()
    assert notice.startswith(f"{len(two.kept.renewed_at)} sessions were renewed meanwhile, at most ")
    with urllib.request.urlopen(f"{url}/seen", timeout=10) as answer:
        seen = json.load(answer)["log-ins"]
    came: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for _, user, source, device in map(str.split, seen):
        came[user].add((source, device))
    for number, chair in enumerate(CHAIRS):
        assert {source for source, _ in came[chair.user]} == {address("chair", number)}
        assert len({device for _, device in came[chair.user]}) == 2, "one for each kit, which all renewals keep"
    for file in (tmp_path / "ledger").iterdir():
        assert b"123456" not in file.read_bytes()
