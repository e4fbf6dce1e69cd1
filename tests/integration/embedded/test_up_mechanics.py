"""up, down, status and logs with a real PostgreSQL and dummy services."""

import json
import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psutil


class Machine(Protocol):
    state: Path

    def command(self, *arguments: str, **environment: str) -> Any: ...
    def start(self, *options: str) -> Any: ...
    def up(self, *options: str) -> tuple[Any, dict[str, Any]]: ...


Until = Callable[..., None]


def pids_of(told: dict[str, Any]) -> list[int]:
    family = [psutil.Process(record["pid"]) for record in told["processes"]]
    return [process.pid for one in family for process in (one, *one.children(recursive=True))]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_up_status_logs_and_down(dummies: Machine) -> None:
    process, told = dummies.up()
    pids = pids_of(told)
    assert told["state"] == "healthy"
    assert told["pid"] == process.pid

    client = json.loads((dummies.state / "client.json").read_text())
    assert client["data"] == told["addresses"]["data"]
    for path in (dummies.state / "client.json", Path(client["token_file"]), *(dummies.state / "keys").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path

    status = json.loads(dummies.command("status", "--json").stdout)
    assert status["healthy"]
    assert {line["name"] for line in status["processes"]} == {"postgres", "data", "training", "page"}
    assert all(line["memory_bytes"] > 0 and line["restarts"] == 0 for line in status["processes"])
    assert "here" in dummies.command("logs", "data", "-n", "100").stdout
    assert "postgres" in dummies.command("logs", "nothing").stderr

    assert dummies.command("down").returncode == 0
    assert process.wait(60) == 0
    assert alive(pids) == []
    assert not (dummies.state / "client.json").exists()
    assert dummies.command("status").returncode == 5
    assert dummies.command("down").returncode == 5


def test_second_start_says_who_is_there(dummies: Machine) -> None:
    process, told = dummies.up()
    second = dummies.command("up", "--ports", "auto")
    assert second.returncode == 1
    assert f"pid {process.pid}" in second.stderr
    assert told["addresses"]["page"] in second.stderr
    japanese = dummies.command("up", LANG="ja_JP.UTF-8")
    assert "既に動いています" in japanese.stderr


def test_taken_port_is_told_before_anything_starts(dummies: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = dummies.command("up", "--ports", "auto", "--page-port", str(port))
    assert done.returncode == 1
    assert f"Port {port} (page)" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert not (dummies.state / "postgres").exists()


def test_interrupt_stops_everything(dummies: Machine) -> None:
    process, told = dummies.up()
    pids = pids_of(told)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert alive(pids) == []


def test_interrupt_while_starting_stops_everything(dummies: Machine, until: Until) -> None:
    process = dummies.start("--ports", "auto")
    until((dummies.state / "runtime.json").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    mine = str(dummies.state)
    assert [p for p in psutil.process_iter(["cmdline"]) if any(mine in word for word in p.info["cmdline"] or ())] == []


def test_killed_supervisor_leaves_nothing_and_the_next_start_works(dummies: Machine, until: Until) -> None:
    process, told = dummies.up()
    pids = pids_of(told)
    process.kill()
    process.wait()
    until(lambda: alive(pids) == [])
    assert dummies.command("status").returncode == 5
    _, again = dummies.up()
    assert again["state"] == "healthy"


def test_next_start_right_after_a_kill_waits_for_the_old_processes(dummies: Machine) -> None:
    process, told = dummies.up()
    pids = pids_of(told)
    process.kill()
    process.wait()
    _, again = dummies.up()
    assert again["state"] == "healthy"
    assert alive(pids) == []


def test_killed_postgres_comes_back_with_its_data(dummies: Machine, until: Until) -> None:
    _, told = dummies.up()
    guard = psutil.Process(next(record["pid"] for record in told["processes"] if record["name"] == "postgres"))
    guard.children()[0].kill()

    def restarted() -> bool:
        status = json.loads(dummies.command("status", "--json").stdout)
        return bool(status["healthy"] and status["processes"][0]["restarts"] == 1)

    until(restarted)


def test_tokens_are_made_listed_and_revoked(dummies: Machine) -> None:
    made = json.loads(dummies.command("token", "create", "--role", "viewer", "--name", "花子", "--json").stdout)
    assert made["token"].count(".") == 2
    assert made["name"] == "花子"
    assert made["token"] not in (dummies.state / "tokens.json").read_text()
    assert dummies.command("token", "revoke", made["id"]).returncode == 0
    listed = json.loads(dummies.command("token", "list", "--json").stdout)["tokens"]
    assert [(entry["id"], entry["revoked"]) for entry in listed] == [(made["id"], True)]
    assert made["id"] in (dummies.state / "auth" / "revoked.txt").read_text()
    assert "no token" in dummies.command("token", "revoke", "0" * 32).stderr
