"""How a process of AIFT starts and ends."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from services.core import lifeline
from services.core.errors import PortTaken
from services.core.settings import Settings, load
from services.core.telemetry import configure_logging

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)
_CANNOT_START = 69  # EX_UNAVAILABLE of sysexits.h


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Runs `main(stop)` until it returns; SIGTERM and SIGINT set `stop`. Ends with the parent when it holds our
    lifeline. Returns the exit status."""
    lifeline.attach()
    return asyncio.run(_main(main))


async def _main(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await main(stop)
    except PortTaken as error:
        log.error("%s", error)  # noqa: TRY400 - the address says it all
        return _CANNOT_START
    return 0


def command(
    *,
    package: str,
    settings: type[S],
    serve: Callable[[S, asyncio.Event], Awaitable[None]],
    argv: Sequence[str] | None = None,
) -> int:
    """The command line of a service: `python -m PACKAGE serve` or `migrate`. Returns the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {package}")
    parser.add_argument("verb", choices=("serve", "migrate"), help="serve calls, or bring the schema up to date")
    verb = parser.parse_args(sys.argv[1:] if argv is None else argv).verb
    loaded = load(settings)
    configure_logging(loaded.SERVICE, loaded.log_level)
    if verb == "serve":
        gc.freeze()  # what was imported stays: no collection need look at it again
        return run(lambda stop: serve(loaded, stop))
    # Only here: processes without a database start faster without it.
    from services.core import migrate

    lifeline.attach()
    revision = migrate.run(package, url=loaded.database_url.get_secret_value(), schema=loaded.SERVICE)
    log.info("schema is up to date", extra={"revision": revision})
    return 0
