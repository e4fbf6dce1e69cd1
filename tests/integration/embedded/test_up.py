"""The real system on one machine: started, looked at, hurt, stopped."""

import json
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import grpc
import psutil
import pytest
from aift.client import Client
from grpc_health.v1 import health_pb2, health_pb2_grpc

# Seven Python processes start several times; in one worker, so that all tests share the one that runs.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("embedded"), pytest.mark.timeout(900)]

SERVICES = ("data", "training", "registry", "inference")
ALL = ("postgres", *SERVICES, "worker", "page")


class Machine(Protocol):
    state: Path
    foreground: subprocess.Popen[str]

    def command(self, *arguments: str, **environment: str) -> Any: ...
    def up(self, *options: str) -> tuple[Any, dict[str, Any]]: ...
    def status(self) -> dict[str, Any]: ...


Until = Callable[..., None]


def line_of(status: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(line for line in status["processes"] if line["name"] == name)
    return found


def of_state(state: Path) -> list[psutil.Process]:
    """Every process that names the state directory in its arguments or its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if any(str(state) in word for word in words):
            found.append(process)
    return found


def test_all_processes_are_healthy(running: Machine) -> None:
    status = running.status()
    assert [line["name"] for line in status["processes"]] == list(ALL)
    assert status["healthy"], status
    assert all(line["restarts"] == 0 for line in status["processes"])


@pytest.mark.parametrize("service", SERVICES)
def test_services_serve_and_say_so(running: Machine, service: str) -> None:
    address = json.loads((running.state / "client.json").read_text())[service]
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("service", SERVICES)
def test_no_api_process_has_torch_in_memory(running: Machine, service: str) -> None:
    pid = line_of(running.status(), service)["pid"]
    maps = Path("/proc", str(pid), "maps").read_text()
    assert "libtorch" not in maps
    assert "libarrow_dataset" not in maps


def test_page_opens(running: Machine) -> None:
    page = json.loads((running.state / "client.json").read_text())["page"]
    with urllib.request.urlopen(f"http://{page}/", timeout=10) as answer:
        assert b"<!doctype html>" in answer.read().lower()


def test_the_local_user_may_call(running: Machine) -> None:
    with Client(state_dir=running.state) as client:
        workers = client.system().workers
    assert len(workers) == 1


@pytest.mark.parametrize("name", [*ALL])
def test_what_is_killed_comes_back(running: Machine, until: Until, name: str) -> None:
    before = line_of(running.status(), name)
    psutil.Process(before["pid"]).kill()

    def back() -> bool:
        status = running.status()
        line = line_of(status, name)
        return bool(status["healthy"] and line["restarts"] > before["restarts"] and line["pid"] != before["pid"])

    until(back, timeout_s=180)


def test_killed_supervisor_leaves_no_process_and_the_next_start_is_healthy_and_ends(
    real: Machine, until: Until
) -> None:
    process, _ = real.up()
    assert of_state(real.state)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: of_state(real.state) == [], timeout_s=60)
    done = real.command("up", "--ports", "auto", "--no-page", "--detach", "--json")
    try:
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["state"] == "healthy"
        assert "page" not in told["addresses"]
        assert real.status()["healthy"]
        again = real.command("up", "--detach", "--ports", "auto")
        assert (again.returncode, str(told["pid"]) in again.stderr) == (1, True)
    finally:
        assert real.command("down").returncode == 0
    assert of_state(real.state) == []


def test_zz_down_leaves_no_process(running: Machine) -> None:
    """Last in the file: it ends what runs."""
    process = running.foreground
    assert of_state(running.state)
    assert running.command("down").returncode == 0
    assert process.wait(60) == 0
    assert of_state(running.state) == []
