"""A target's cap holds for a whole run, however many processes send it. Importing Locust patches a process: a child."""

from __future__ import annotations

import subprocess
import sys

_FOUR_WORKERS = """
from types import SimpleNamespace
from loadtests.users import run
from loadtests.target.guards import Pace

class Master(run.MasterRunner):
    worker_count = 4
    def __init__(self): self.sent = []
    def send_message(self, kind, data=None, client_id=None): self.sent.append((kind, data))

def coordinator(runner):
    found = run.Coordinator.__new__(run.Coordinator)
    found.environment = SimpleNamespace(runner=runner, parsed_options=SimpleNamespace(expect_workers=1))
    found.run, found._claimed = None, {}
    return found

def worker(cap_per_s):
    found = coordinator(None)
    found.run = run.Run.__new__(run.Run)
    found.run.options = SimpleNamespace(target=SimpleNamespace(rate_cap_per_s=cap_per_s))
    found.run.pace, found.run._sharers, found.run._asked = Pace(cap_per_s), 1, {}
    return found

master, other_host, this_machine = Master(), worker(50.0), worker(None)
coordinator(master)._on_claim(SimpleNamespace(data={"kind": "PrecinctChair", "ask": 1}, node_id="a"))
(kind, data), = master.sent
for one in (other_host, this_machine):
    one._on_dealt(SimpleNamespace(data=data))
print(1 / other_host.run.pace._interval_s, this_machine.run.pace._interval_s)
"""


def test_all_workers_together_keep_to_the_targets_cap():
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FOUR_WORKERS], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    each, unbound = (float(number) for number in found.stdout.split())
    assert (each, unbound) == (50 / 4, 0.0)
