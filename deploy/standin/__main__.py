"""Run the stand-in: `python -m deploy.standin`."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys

import structlog

from deploy.standin.app import Standin
from deploy.standin.options import Options

DESCRIPTION = """
A LiveKit to try things on: RoomService, Ingress and Egress over Twirp, RTMP ingest on one port,
egress to HLS, mp4 and thumbnails by ffmpeg, signed webhooks - and faults that can be switched on.
WHIP and joining a room are not its business: they are answered with 501.
"""

EPILOG = """
When it is ready it prints one line of JSON on stdout with its addresses; logs go to stderr.
Every option can also be set by an environment variable: STANDIN_ and the option's name
(STANDIN_RTMP_PORT=1935; STANDIN_WEBHOOK_URL takes several, separated by spaces).
GET / at the control address says what can be asked there.
"""


def main() -> None:
    """Read the options, run until SIGINT or SIGTERM."""
    options, level = parse(sys.argv[1:], os.environ)
    set_up_logs(level)
    asyncio.run(run(options))


async def run(options: Options) -> None:
    """Serve until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Standin(options) as standin:
        sys.stdout.write(json.dumps(standin.ready()) + "\n")
        sys.stdout.flush()
        await stop.wait()


def parse(
    arguments: list[str], environment: "os._Environ[str] | dict[str, str]"
) -> tuple[Options, str]:
    """Read options from the command line, else from the environment, else the defaults."""

    def default(name: str, fallback: str) -> str:
        return environment.get(f"STANDIN_{name}", fallback)

    plain = Options()
    parser = argparse.ArgumentParser(
        prog="python -m deploy.standin",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default=default("HOST", plain.host), help="address to listen on (%(default)s)")
    add("--port", type=int, default=default("PORT", "7880"), help="the API; 0 is any (%(default)s)")
    add(
        "--rtmp-port", type=int, default=default("RTMP_PORT", "1935"), help="encoders (%(default)s)"
    )
    add("--control-port", type=int, default=default("CONTROL_PORT", "0"),
        help="state and faults (%(default)s)")  # fmt: skip
    add("--api-key", default=default("API_KEY", plain.api_key), help="(%(default)s)")
    add(
        "--api-secret",
        default=default("API_SECRET", plain.api_secret),
        help="never shown; give it by the environment to keep it out of the process list",
    )
    add("--webhook-url", action="append", default=None, help="where webhooks go; may be repeated")
    add("--rtmp-base-url", default=environment.get("STANDIN_RTMP_BASE_URL"),
        help="the address given for RTMP, if encoders see another one")  # fmt: skip
    add("--whip-base-url", default=environment.get("STANDIN_WHIP_BASE_URL"),
        help="the address given for WHIP")  # fmt: skip
    add("--ffmpeg", default=environment.get("STANDIN_FFMPEG"),
        help="ffmpeg's path (the machine's, else the one in the wheel)")  # fmt: skip
    add("--empty-timeout", type=int, metavar="SECONDS", help="rooms nobody joined (%(default)s)",
        default=default("EMPTY_TIMEOUT", str(plain.empty_timeout_seconds)))  # fmt: skip
    add("--departure-timeout", type=int, metavar="SECONDS", help="rooms all left (%(default)s)",
        default=default("DEPARTURE_TIMEOUT", str(plain.departure_timeout_seconds)))  # fmt: skip
    add("--source-wait", type=float, metavar="SECONDS",
        default=default("SOURCE_WAIT", str(plain.source_wait_seconds)),
        help="how long an egress waits for its participant (%(default)s)")  # fmt: skip
    add("--webhook-retry", type=float, metavar="SECONDS",
        default=default("WEBHOOK_RETRY", str(plain.webhook_retry_seconds)),
        help="the first wait before a webhook is sent again (%(default)s)")  # fmt: skip
    add("--log-level", default=default("LOG_LEVEL", "info"), help="(%(default)s)",
        choices=["debug", "info", "warning", "error"])  # fmt: skip
    told = parser.parse_args(arguments)
    urls = told.webhook_url or environment.get("STANDIN_WEBHOOK_URL", "").split()
    options = Options(
        host=told.host,
        port=told.port,
        rtmp_port=told.rtmp_port,
        control_port=told.control_port,
        api_key=told.api_key,
        api_secret=told.api_secret,
        webhook_urls=tuple(urls),
        rtmp_base_url=told.rtmp_base_url,
        whip_base_url=told.whip_base_url,
        ffmpeg=told.ffmpeg,
        empty_timeout_seconds=told.empty_timeout,
        departure_timeout_seconds=told.departure_timeout,
        source_wait_seconds=told.source_wait,
        webhook_retry_seconds=told.webhook_retry,
    )
    return options, told.log_level


def set_up_logs(level: str) -> None:
    """Write JSON lines to stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


if __name__ == "__main__":
    main()
