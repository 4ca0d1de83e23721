"""Empty tables, migrated once and copied: most tests begin with them, and making them is slow."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from orchestration import migrations
from tests.system.postgres import PostgresServer


def sqlite_tables(folder: Path) -> str:
    """Make a SQLite file with empty tables in this folder; return its GREENROOM_DATABASE_URL."""
    path = folder / "greenroom.sqlite3"
    path.write_bytes(_sqlite_template())
    return f"sqlite:///{path}"


def postgres_tables(server: PostgresServer) -> str:
    """Make a database with empty tables; return its GREENROOM_DATABASE_URL."""
    return server.create_database(template=_postgres_template(server))


@cache
def _sqlite_template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.sqlite3"
        _migrate(f"sqlite:///{path}")
        return path.read_bytes()


@cache
def _postgres_template(server: PostgresServer) -> str:
    url = server.create_database()
    _migrate(url)
    return url.rpartition("/")[2]


def _migrate(url: str) -> None:
    """Migrate in a thread: migrations run an event loop, and the caller may be in one."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(migrations.upgrade, url).result()
