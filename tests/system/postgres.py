"""A real PostgreSQL from Debian's package: one server for all tests, a fresh database for each."""

import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from deploy.ports import free_port
from tests.system.processes import Process, start

#: Debian puts the programs of each version into a directory of its own, outside PATH.
DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")
#: PostgreSQL refuses to run as root; Debian's package makes this user for it.
UNPRIVILEGED = "postgres"
#: Nothing here outlives the tests, so nothing needs to be safe on disk; 200 connections, because
#: every process of a test opens a pool.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
}


@dataclass(eq=False)
class PostgresServer:
    """One server on a loopback port, with its data in a temporary directory."""

    port: int = field(default_factory=free_port)
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="greenroom-pg-")))
    process: Process | None = None  #: None until started

    def start(self) -> None:
        """Make the data directory if there is none, start, and return when it answers."""
        if not (self.directory / "data").exists():
            self._make_data()
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        self.process = start(
            [
                program("postgres"),
                *("-D", self.directory / "data", "-p", str(self.port), "-k", self.directory),
                *options,
            ],
            user=_user(),
            directory=self.directory,
            log_path=self.directory / "postgres.log",
        )
        self.process.ready_sync(self.answers)

    def answers(self) -> bool:
        """Say whether it takes connections."""
        answer = subprocess.run(
            [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        )
        return answer.returncode == 0

    def create_database(self, *, template: str = "template0") -> str:
        """Make a database, empty or a copy of `template`; return its GREENROOM_DATABASE_URL."""
        name = f"greenroom_{uuid.uuid4().hex[:12]}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql://{UNPRIVILEGED}@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self.sql(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement as the superuser; return what psql prints, unaligned."""
        answer = subprocess.run(
            [
                *(program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
                *("-h", "127.0.0.1", "-p", str(self.port), "-U", UNPRIVILEGED),
                *("-d", database, "-c", statement),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    def stop(self) -> None:
        """End it and remove its data."""
        if self.process is not None and self.process.exit_code is None:
            # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
            self.process.interrupt()
        if self.process is not None:
            self.process.popen.wait(60)
            self.process.stop()
        shutil.rmtree(self.directory)

    def _make_data(self) -> None:
        if user := _user():
            shutil.chown(self.directory, user, user)
        made = subprocess.run(
            [
                *(program("initdb"), "-D", self.directory / "data", "-U", UNPRIVILEGED),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.directory,
            user=_user(),
            group=_user(),
            extra_groups=[] if _user() else None,
        )
        assert made.returncode == 0, made.stderr


def program(name: str) -> Path:
    """Return a program of the newest PostgreSQL that is installed."""
    versions = sorted(
        DEBIAN_PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    elsewhere = shutil.which(name)
    found = [*versions, *([Path(elsewhere)] if elsewhere else [])]
    assert found, f"PostgreSQL's {name} is not installed: run `make test` once"
    return found[0]


def _user() -> str | None:
    return UNPRIVILEGED if os.geteuid() == 0 else None
