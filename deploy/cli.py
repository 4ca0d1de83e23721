"""The console command `greenroom`: one subcommand for each thing an operator does."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from observability import logs
from observability.redaction import redact_text
from orchestration.settings import Settings

DESCRIPTION: Final = "Run live shows on LiveKit: one call goes live, the rest follows."

EPILOG: Final = """\
a show on this machine, nothing set up:
  greenroom demo

a first installation (SQLite and a local Redis by default):
  greenroom migrate
  greenroom token --role host --organization "Acme"
  greenroom doctor
  greenroom api
  greenroom worker        (in another terminal)

Every setting is an environment variable: `greenroom doctor --settings` lists them all, each with
its value, its default and its reason. For example:
  GREENROOM_DATABASE_URL=postgresql://greenroom:secret@db/greenroom greenroom migrate
"""

#: Exit code for a command line or a setting that makes no sense, as argparse has it.
MISUSED: Final = 2


@dataclass(frozen=True)
class Command:
    """One subcommand."""

    name: str
    summary: str
    details: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Settings], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the answer is the process' exit code."""
    told = parser().parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]) if problem["loc"] else ""
            print(f"{_variable(name)}: {problem['msg']}", file=sys.stderr)
        return MISUSED
    command: Command = told.command
    try:
        return command.run(told, settings)
    except BrokenPipeError:
        # Whoever read our output (`| head`) has enough; nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """Build the parser from COMMANDS."""
    whole = argparse.ArgumentParser(
        prog="greenroom",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        one = each.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.\n\n{command.details}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(one)
        one.set_defaults(command=command)
    return whole


# What only one subcommand needs is imported when it runs: `greenroom --help` and the supervisor of
# the workers stay light.
# ruff: noqa: PLC0415


def _api(_: argparse.Namespace, settings: Settings) -> int:
    from deploy import serve

    logs.configure(settings.log_level, role="api")
    return asyncio.run(serve.run(settings))


def _worker(_: argparse.Namespace, settings: Settings) -> int:
    from workers import supervisor

    logs.configure(settings.log_level, role="worker")
    return supervisor.run(settings)


def _migrate(_: argparse.Namespace, settings: Settings) -> int:
    from orchestration import migrations
    from orchestration.database import DatabaseUnavailable

    try:
        migrations.upgrade(settings.database_url)
    except DatabaseUnavailable as error:
        return _without_database(error)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print("The database is up to date.", file=sys.stderr)
    return 0


def _token(told: argparse.Namespace, settings: Settings) -> int:
    from deploy import first
    from orchestration import migrations
    from orchestration.database import DatabaseUnavailable
    from orchestration.resources import open_resources
    from orchestration.secrets import SecretMissing
    from orchestration.storage import StorageUnavailable

    wish = first.Wish(
        role=told.role,
        organization=told.organization,
        user=told.user,
        email=told.email,
        password=_typed(told.password),
        seconds=int(told.hours * 3600),
    )

    async def make() -> str:
        async with open_resources(settings, role="cli") as resources:
            if not await migrations.is_current(resources.db):
                raise ValueError("The database is not up to date: run `greenroom migrate` first.")
            return await first.token(resources, wish)

    logs.configure("error", sys.stderr)
    try:
        print(asyncio.run(make()))
    except DatabaseUnavailable as error:
        return _without_database(error)
    except (SecretMissing, StorageUnavailable, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _without_database(error: Exception) -> int:
    """Say in two lines what the database said and what to do; 1."""
    said = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
    print(f"The database does not answer: {redact_text(said)}", file=sys.stderr)
    print("Is GREENROOM_DATABASE_URL right? `greenroom doctor` says more.", file=sys.stderr)
    return 1


def _typed(text: str | None) -> str | None:
    """Read a line from stdin for `-`: what stands on a command line, every user can see."""
    return sys.stdin.readline().rstrip("\n") if text == "-" else text


def _doctor(told: argparse.Namespace, settings: Settings) -> int:
    from deploy import doctor

    logs.configure("critical", sys.stderr)
    if told.settings:
        doctor.print_settings(settings)
        return 0
    return asyncio.run(doctor.run(settings))


def _demo(_: argparse.Namespace, settings: Settings) -> int:
    from deploy import demo

    return demo.main(settings)


def _no_arguments(_: argparse.ArgumentParser) -> None:
    """Take none."""


def _token_arguments(one: argparse.ArgumentParser) -> None:
    add = one.add_argument
    add("--role", choices=("host", "viewer", "api-key"), required=True, help="what to print")
    add("--organization", required=True, metavar="NAME", help="whose it is; made if it is missing")
    add("--user", metavar="NAME", help="display name (default: the role)")
    add("--email", metavar="ADDRESS", help="finds the user; made up from the names if not given")
    add(
        "--password",
        help="for logging in with --email; replaces the old one; - reads it from stdin",
    )
    add("--hours", type=float, default=12.0, help="how long a token is good for (%(default)g)")


def _doctor_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--settings", action="store_true", help="list every setting, with value, default and reason"
    )


COMMANDS: Final = (
    Command(
        "api",
        "serve the HTTP API and the watch page",
        "Listens on GREENROOM_API_HOST and GREENROOM_API_PORT. SIGTERM lets open requests end;\n"
        "with GREENROOM_DRAIN_SECONDS it serves on for so long first, while /readyz says 503.",
        _no_arguments,
        _api,
    ),
    Command(
        "worker",
        "do the work: go live, publish, record, end, repair",
        "Runs GREENROOM_WORKER_PROCESSES processes and starts those that die again; shows their\n"
        "metrics on GREENROOM_METRICS_PORT. SIGTERM lets work under way end, for at most 25 s.",
        _no_arguments,
        _worker,
    ),
    Command(
        "migrate",
        "bring the database up to date",
        "Safe to run again, and while the previous release still runs.",
        _no_arguments,
        _migrate,
    ),
    Command(
        "token",
        "print a host's or viewer's token, or an API key",
        "Makes the organization and the user if they are missing; running it again is harmless.\n"
        "Prints nothing else on stdout:\n\n"
        '  TOKEN=$(greenroom token --role host --organization "Acme")\n'
        '  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/rooms/my\n\n'
        "An API key does not expire and is shown this once: send it as X-API-Key.",
        _token_arguments,
        _token,
    ),
    Command(
        "doctor",
        "look at everything configured; say what is wrong and what to do",
        "The exit code is 1 if something is wrong.",
        _doctor_arguments,
        _doctor,
    ),
    Command(
        "demo",
        "run one whole show on this machine; Ctrl-C ends it",
        "Starts a Redis, a LiveKit stand-in, an API and a worker, sends a test picture by RTMP,\n"
        "and says where to watch. GREENROOM_DEMO_SECONDS=60 makes it end by itself.\n"
        "GREENROOM_DEMO_LIVEKIT=real takes the real LiveKit, which is built once, in minutes.",
        _no_arguments,
        _demo,
    ),
)


def _variable(field: str) -> str:
    """Name the environment variable of a field that pydantic complains about."""
    known = Settings.model_fields.get(field)
    if known is not None and known.validation_alias is None:
        return f"GREENROOM_{field.upper()}"
    return field.upper()


if __name__ == "__main__":
    sys.exit(main())
