"""What the tests of load on a shared machine have in common."""

import pytest


@pytest.fixture
def others_use_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator is forgiven what it owes to whoever uses the same two cores: the other tests, and the backend."""
    monkeypatch.setattr("loadtests.trial.LATE_S", 0.5)
    monkeypatch.setattr("loadtests.trial.LATE_SHARE", 0.5)
    monkeypatch.setattr("loadtests.trial.BUSY_SHARE", 2.0)
