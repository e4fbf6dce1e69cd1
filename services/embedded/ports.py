"""Ports: chosen free or as configured, and looked at before anything is started."""

import contextlib
import os
import random
import socket
from collections.abc import Mapping

import psutil

from services.embedded.errors import PortTaken

# Below every usual range of ephemeral ports, so that no outgoing connection takes one between choice and use.
_AUTOMATIC = range(20_000, 32_000)
_TRIES = 200


def choose(configured: Mapping[str, int], host: str) -> dict[str, int]:
    """The port of each name: the configured one, or where that is 0 one that is free on `host` now."""
    chosen = {name: port for name, port in configured.items() if port}
    for name, port in configured.items():
        if not port:
            chosen[name] = _free(host, set(chosen.values()))
    return {name: chosen[name] for name in configured}


def check(ports: Mapping[str, int], host: str) -> None:
    """Raise PortTaken for the first port that somebody listens on."""
    for name, port in ports.items():
        if not bindable(host, port):
            raise PortTaken(port, name, owner(port))


def owner(port: int) -> str | None:
    """Who listens on `port`, as "program (pid n)", or None where the system does not tell us."""
    with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None


def _free(host: str, excluded: set[int]) -> int:
    # Not the global generator: starts side by side, seeded alike, must not choose alike.
    source = random.SystemRandom()
    for _ in range(_TRIES):
        port = source.choice(_AUTOMATIC)
        if port not in excluded and bindable(host, port):
            return port
    raise OSError(f"no free port among {_AUTOMATIC.start}-{_AUTOMATIC.stop - 1} after {_TRIES} tries")


def bindable(host: str, port: int) -> bool:
    """Whether we could listen on `port` of `host` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed listener's TIME_WAIT is no owner
        try:
            probe.bind((host, port))
            probe.listen(1)  # where two may bind with SO_REUSEADDR, only one may listen
        except OSError:
            return False
    return True
