"""`up`: looks before it starts anything, then runs a session in the foreground or leaves one behind."""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict

from services.embedded import ports, recovery
from services.embedded.errors import AlreadyRunning, EmbeddedError, PortTaken, StartFailed
from services.embedded.language import padded, text
from services.embedded.layout import StateDir
from services.embedded.lock import SupervisorLock
from services.embedded.processes import wanted_ports
from services.embedded.runtime import Runtime
from services.embedded.session import Healthy, Session
from services.embedded.settings import EmbeddedSettings

_TRIES = 3  # with free ports: between choosing and listening somebody may take one


def foreground(settings: EmbeddedSettings, *, as_json: bool) -> None:
    """Run until stopped. Raises EmbeddedError before anything is started or after all is stopped again."""
    state = StateDir(settings.state_dir.expanduser().absolute())
    state.create()
    lock = SupervisorLock(state.lock)
    if not lock.acquire():
        raise already_running(state)
    try:
        recovery.end_leftovers(Runtime.read(state.runtime))
        _run(settings, state, lambda runtime: _announce(state, runtime, as_json=as_json))
    finally:
        lock.release()


def detached(settings: EmbeddedSettings, arguments: list[str], *, as_json: bool) -> None:
    """Leave a supervisor behind, return when all is healthy. Raises EmbeddedError with what it said if it fails."""
    state = StateDir(settings.state_dir.expanduser().absolute())
    state.create()
    if SupervisorLock(state.lock).holder() is not None:
        raise already_running(state)
    log = state.logs / "supervisor.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "services.embedded", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    while process.poll() is None:
        runtime = Runtime.read(state.runtime)
        if runtime is not None and runtime.pid == process.pid and runtime.seconds_to_healthy is not None:
            _announce(state, runtime, as_json=as_json)
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip()
    raise EmbeddedError(said, said)


def already_running(state: StateDir) -> AlreadyRunning:
    """The error that tells where the running one is."""
    runtime = Runtime.read(state.runtime)
    addresses = runtime.addresses if runtime else {}
    address = addresses.get("page") or addresses.get("data") or "-"
    return AlreadyRunning(state.root, SupervisorLock(state.lock).holder() or 0, address)


def _run(settings: EmbeddedSettings, state: StateDir, healthy: Healthy) -> None:
    configured = wanted_ports(settings.ports())
    fixed = {name: port for name, port in configured.items() if port}
    ports.check(fixed, settings.host)
    for left in reversed(range(_TRIES)):
        chosen = ports.choose(configured, settings.host)
        try:
            asyncio.run(Session(settings, state, chosen, _say).run(healthy))
        except StartFailed:
            if not left or not _lost_a_port(chosen, settings.host):
                raise
        else:
            return


def _lost_a_port(chosen: dict[str, int], host: str) -> bool:
    """Whether somebody else listens where our process, stopped by now, was to."""
    try:
        ports.check(chosen, host)
    except PortTaken:
        return True
    return False


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _announce(state: StateDir, runtime: Runtime, *, as_json: bool) -> None:
    if as_json:
        told = json.dumps({**asdict(runtime), "client_file": str(state.client)}, ensure_ascii=False)
    else:
        told = _summary(state, runtime)
    sys.stdout.write(told + "\n")
    sys.stdout.flush()


def _summary(state: StateDir, runtime: Runtime) -> str:
    lines = [
        text(
            f"AIFT is up after {runtime.seconds_to_healthy:.1f} s.",
            f"AIFT が起動しました({runtime.seconds_to_healthy:.1f} 秒)。",
        )
    ]
    for name, address in runtime.addresses.items():
        lines.append(f"  {name:<10} {'http://' if name == 'page' else ''}{address}")
    lines += [
        f"  {padded(text('state', '状態'), 10)} {state.root}",
        f"  {padded(text('token', 'トークン'), 10)} {state.token}",
        text(
            "Stop with Ctrl-C or `aift down`; `aift status` and `aift logs NAME` tell more.",
            "停止は Ctrl-C か `aift down`。詳しくは `aift status`、`aift logs 名前`。",
        ),
    ]
    return "\n".join(lines)
