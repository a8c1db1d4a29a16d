"""What `make bench` runs can be run so: each file by itself, with nothing but the installed packages around it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EACH = """
import runpy, sys
before = list(sys.path)
for script in sys.argv[1:]:
    sys.path[:] = ["benchmarks", *(entry for entry in before if entry)]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("benchmarks", "tests")]:
        del sys.modules[name]
    runpy.run_path(script, run_name="imported")
    print(script)
"""


def test_every_benchmark_finds_what_it_needs() -> None:
    scripts = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks").glob("*.py"))
    assert len(scripts) > 15
    done = subprocess.run([sys.executable, "-c", EACH, *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == scripts, done.stderr
