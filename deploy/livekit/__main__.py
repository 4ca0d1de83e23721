"""The command: start the real media plane and say where everything is; Ctrl-C ends it."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

from deploy import testcard
from deploy.demo_children import ChildDied
from deploy.livekit import binaries, files, plane

#: Everything that is kept between runs, and what a run writes.
FOLDER: Final = Path(".greenroom/livekit")


def main() -> int:
    """Run until told to stop; 0 when all went well."""
    options = _options()
    # Whoever starts this in the background has Ctrl-C ignored; a build must hear it all the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if options.write is not None:
            files.write_files(options.write, {**files.names(), **_given()})
            _say(f"the configuration files are in {options.write}")
            return 0
        binaries.require_packages()
        programs = binaries.build(options.cache, _say)
        return 0 if options.build_only else asyncio.run(_run(options, programs))
    except (binaries.CannotBuild, testcard.NoEncoder, OSError) as failure:
        _say(f"cannot go on: {failure}")
    except KeyboardInterrupt:
        _say("ended before it was ready")
    except ChildDied as death:
        _say(f"cannot go on: {death}")
        for line in death.child.last_lines():
            _say(f"    {line}")
    return 1


async def _run(options: argparse.Namespace, programs: Path) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    given = {"LIVEKIT_EGRESS_FFMPEG": testcard.encoder(), **_given()}
    if options.webhook_url:
        given["LIVEKIT_WEBHOOK_URL"] = options.webhook_url
    values = plane.settle(given, any_ports=options.any_ports)
    async with plane.running(programs, options.folder.absolute(), values) as ready:
        told = ready.told()
        if options.json:
            print(json.dumps(told), flush=True)
        else:
            _tell(told)
        await plane.keep_up(ready, stop, _say)
    return 0


def _given() -> dict[str, str]:
    """Take what the environment says about names that stand in the files."""
    return {name: os.environ[name] for name in files.names() if os.environ.get(name)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy/livekit/run", description=__doc__)
    parser.add_argument("--json", action="store_true", help="say it in one line of JSON")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for logs and media")
    parser.add_argument("--cache", type=Path, default=FOLDER / "bin", help="for the programs")
    parser.add_argument("--any-ports", action="store_true", help="take whatever port is free")
    parser.add_argument("--webhook-url", help="where livekit-server tells what happens")
    parser.add_argument("--build-only", action="store_true", help="build, and start nothing")
    parser.add_argument("--write", type=Path, help="only write the configuration files there")
    return parser.parse_args()


def _tell(told: dict[str, object]) -> None:
    for name, key in (
        ("LIVEKIT_URL", "url"),
        ("LIVEKIT_API_KEY", "api_key"),
        ("LIVEKIT_API_SECRET", "api_secret"),
        ("GREENROOM_INGRESS_HEALTH_URL", "ingress_health"),
        ("GREENROOM_EGRESS_HEALTH_URL", "egress_health"),
        ("GREENROOM_EGRESS_METRICS_URL", "egress_metrics"),
    ):
        _say(f"{name}={told[key]}")
    for name, key in (
        ("RTMP", "rtmp_url"),
        ("WHIP", "whip_url"),
        ("Webhooks go to", "webhook_url"),
        ("Media", "out"),
        ("Logs", "logs"),
    ):
        _say(f"{name:15}{told[key]}")
    _say("the real media plane is ready; Ctrl-C ends it")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
