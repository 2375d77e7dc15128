"""A throwaway PostgreSQL for the tests, shared by all test processes of one run.

The first test process that needs it starts a guard: this file run as a program, which owns the cluster. Every process
that uses the cluster holds a shared lock on a file; the guard waits for the exclusive lock. The system frees the locks
of processes that die, however they die, so the cluster ends with the last of its users, even after `kill -9`.

`MAINSTAY_TEST_POSTGRES=URL` names a server to use instead; its user must be allowed to make databases.
"""

import asyncio
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from mainstay.store import migrations
from mainstay.store.database import open_database

T = TypeVar("T")

CONFIGURATION = """
listen_addresses = ''
unix_socket_permissions = 0777
max_connections = 200
shared_buffers = 32MB
fsync = off
synchronous_commit = off
full_page_writes = off
deadlock_timeout = 100ms
"""

WHY_NOT = (
    "no PostgreSQL: initdb is neither in PATH nor in /usr/lib/postgresql/*/bin. Install it (apt-get install"
    " postgresql), or name a server with MAINSTAY_TEST_POSTGRES=postgresql://..."
)


@dataclass(frozen=True)
class Cluster:
    """A server on which databases may be made. `base` is the URL of its maintenance database."""

    base: str

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self.base)._replace(path=f"/{quote(database)}"))

    def execute(self, statement: str) -> Any:
        """Run one statement outside of any transaction; gives the first value of its first row."""
        return _in_a_loop_of_its_own(self._execute(statement))

    async def _execute(self, statement: str) -> Any:
        conn = await asyncpg.connect(self.base)
        try:
            return await conn.fetchval(statement)
        finally:
            await conn.close()

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """The URL of a new database, empty or a copy of `template`, that is dropped afterwards."""
        name = f"mainstay_test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def template(self, shared: Path) -> str:
        """The name of a database with our tables in it, to make copies of. Made once per server and schema."""
        sources = sorted(Path(str(migrations.__file__)).parent.rglob("*.py"))
        digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
        name = f"mainstay_template_{digest}"
        with _locked(shared / "template.lock"):
            if self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") is None:
                # Renamed only when it is whole, so that a run that was killed here leaves no half template.
                new = f"{name}_{secrets.token_hex(4)}"
                self.execute(f"CREATE DATABASE {new} TEMPLATE template0")
                _in_a_loop_of_its_own(_migrate(self.url(new)))
                self.execute(f"ALTER DATABASE {new} RENAME TO {name}")
        return name


async def _migrate(url: str) -> None:
    await (await open_database(url)).close()


def _in_a_loop_of_its_own(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, also where a loop is running already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@contextmanager
def cluster(shared: Path) -> Iterator[Cluster | None]:
    """The cluster of this run, started if need be; None where there is none. All test processes see `shared`."""
    if named := os.environ.get("MAINSTAY_TEST_POSTGRES"):
        yield Cluster(named)
        return
    programs = _programs()
    if programs is None:
        yield None
        return
    with (shared / "postgres.users").open("a") as users:
        with _locked(shared / "postgres.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)  # Waits while a guard that found no users left is tidying up.
            if not (shared / "postgres.url").exists():
                _start_guard(programs, shared)
        yield Cluster((shared / "postgres.url").read_text())


def _programs() -> Path | None:
    """The folder of initdb and postgres."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: p.parent.name, reverse=True)
    return next((folder for folder in newest_first if (folder / "initdb").exists()), None)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_guard(programs: Path, shared: Path) -> None:
    guard = subprocess.Popen(
        [sys.executable, __file__, str(programs), str(shared)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # An interrupt in the terminal is for the tests, not for it.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert guard.stdout is not None
    with guard.stdout:
        if guard.stdout.readline() != b"ready\n":
            raise RuntimeError(f"PostgreSQL for the tests did not start: {guard.stdout.read().decode()}")
    guard.returncode = 0  # It outlives this process, on purpose; nobody here waits for it.


def _guard(programs: Path, shared: Path) -> None:
    """Run the cluster until nobody uses it any more."""
    account = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="mainstay-pg-", dir="/tmp" if len(tempfile.gettempdir()) > 60 else None))
    if account:
        os.chown(folder, account["user"], account["group"])
    folder.chmod(0o755)
    server = None
    try:
        server = _start(programs, folder, account)
        (shared / "postgres.url").write_text(f"postgresql://mainstay@/postgres?host={quote(str(folder))}")
        print("ready", flush=True)
        os.close(1)
        with (shared / "postgres.users").open("a") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            (shared / "postgres.url").unlink(missing_ok=True)
            _stop(server, folder)
    finally:
        _stop(server, folder)


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: whom to be instead, as arguments of Popen."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("no user postgres or nobody to run PostgreSQL as")


def _start(programs: Path, folder: Path, account: dict[str, Any]) -> "subprocess.Popen[bytes]":
    data = folder / "data"
    made = subprocess.run(
        [programs / "initdb", "-D", data, "-U", "mainstay", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        capture_output=True,
        cwd="/",
        **account,
    )
    if made.returncode != 0:
        raise RuntimeError(made.stderr.decode())
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(f"{CONFIGURATION}unix_socket_directories = '{folder}'\n")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            **account,
        )
    while server.poll() is None:
        answer = subprocess.run([programs / "pg_isready", "-q", "-h", folder, "-U", "mainstay", "-t", "5"])
        if answer.returncode == 0:
            return server
    raise RuntimeError((folder / "log").read_text())


def _stop(server: "subprocess.Popen[bytes] | None", folder: Path) -> None:
    if server is not None and server.poll() is None:
        server.send_signal(signal.SIGQUIT)  # Immediate shutdown: nothing in it is wanted any more.
        server.wait()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    # Being asked to end is the same as nobody being left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _guard(Path(sys.argv[1]), Path(sys.argv[2]))
