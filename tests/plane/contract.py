"""Run the contract tests on the real plane: `python -m tests.plane.contract [for pytest]`."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from deploy.ports import free_port
from tests.plane.real import start_plane

#: Of each program's log, when a test failed.
LAST_LINES = 40


async def main(arguments: list[str]) -> int:
    """Start the plane, run the tests with its addresses, end it; give pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="greenroom-contract-") as folder:
        hooks = f"http://127.0.0.1:{free_port()}/hook"
        plane, told = await start_plane(Path(folder), webhook_url=hooks)
        try:
            tests = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pytest", "tests/contract", *arguments),
                env={
                    **os.environ,
                    "CONTRACT_LIVEKIT_URL": told["url"],
                    "CONTRACT_LIVEKIT_KEY": told["api_key"],
                    "CONTRACT_LIVEKIT_SECRET": told["api_secret"],
                    "CONTRACT_LIVEKIT_OUT": told["out"],
                    "CONTRACT_LIVEKIT_HOOKS": hooks,
                },
            )
            code = await tests.wait()
            if code:
                tell_last_words(Path(told["logs"]))
            return code
        finally:
            await asyncio.to_thread(plane.stop)


def tell_last_words(logs: Path) -> None:
    """Print the end of each program's log: the folder is gone in a moment."""
    for log in sorted(logs.glob("*")):
        lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        sys.stdout.write("\n".join(["", f"--- {log.name}", *(line[:400] for line in lines), ""]))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
