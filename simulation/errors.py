"""The two errors that a person causes or can mend: bad input, and a run that ended before it was whole."""

from __future__ import annotations

from collections.abc import Sequence


class InputError(Exception):
    """Input that cannot be used: scenario, roster, data or option. The command line prints it and exits with 2.

    `problems` holds one line each: where (file, line or row, key), what was found, what would be accepted.
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class UnfinishedError(Exception):
    """A run that ended early and kept what was finished; the message says why and how to go on.

    `exit_code` is the command line's: 128 + the signal, or 1.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message)
