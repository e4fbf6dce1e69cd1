"""The PostgreSQL that we start ourselves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from services.embedded.postgres import Postgres, PostgresError
from services.embedded.server_user import ServerUser, copy_install

PARENT = """
import sys, time
from pathlib import Path
from services.embedded.postgres import Postgres
server = Postgres(Path(sys.argv[1]), durable=False)
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(state_dir: Path) -> Iterator[Postgres]:
    made = Postgres(state_dir / "pg", durable=False)
    made.start()
    yield made
    made.stop()


def ask(url: str, query: str = "SELECT 1") -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return row[0] if row else None


def postgres_processes(server: Postgres) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if str(server.data) in (p.info["cmdline"] or [])]


def gone(server: Postgres, within_s: float = 60) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not postgres_processes(server):
            return True
        time.sleep(0.05)
    return False


def test_nobody_comes_in_without_the_password(server: Postgres) -> None:
    url = server.url()
    assert ask(url) == 1
    password = (server.directory / "aift.password").read_text()
    for wrong in (url.replace(f":{password}@", "@"), url.replace(password, "postgres")):
        with pytest.raises(psycopg.OperationalError):
            ask(wrong)


def test_secrets_and_data_are_ours_alone(server: Postgres) -> None:
    server.provision("data")
    for path in server.directory.glob("*.password"):
        assert path.stat().st_mode & 0o077 == 0
    assert server.data.stat().st_mode & 0o077 == 0
    pid = server.pid
    assert pid is not None
    assert psutil.Process(pid).uids().real != 0
    assert not list(server.directory.glob("*.secret"))
    environment = psutil.Process(pid).environ()
    assert not [name for name in environment if name.startswith("AIFT_")]


def test_a_role_owns_its_schema_and_no_other(server: Postgres) -> None:
    data, training = server.provision("data"), server.provision("training")
    assert server.provision("data") == data
    with psycopg.connect(data) as connection:
        connection.execute("CREATE TABLE data.things (n int)")
    for query in (
        "SELECT count(*) FROM data.things",
        "CREATE TABLE data.more (n int)",
        "CREATE TABLE public.t (n int)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(training, query)


def test_it_starts_again_after_a_kill_and_keeps_what_was_committed(server: Postgres) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    # A backend that is busy holds the shared memory for a moment longer.
    busy = psycopg.connect(server.url(), autocommit=True)
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    server.start()
    assert ask(server.url(), "SELECT n FROM kept") == 42
    busy.close()


def test_a_pid_file_whose_number_is_someone_elses(server: Postgres) -> None:
    server.stop()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    assert server.pid is None
    server.start()
    assert ask(server.url()) == 1


def test_a_second_supervisor_of_the_same_directory_takes_over(server: Postgres) -> None:
    first = server.pid
    second = Postgres(server.directory, durable=False)
    second.start()
    assert second.pid != first
    assert ask(second.url()) == 1
    second.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
def test_nothing_is_left_when_the_supervisor_dies(state_dir: Path, number: signal.Signals) -> None:
    server = Postgres(state_dir / "pg", durable=False)
    argv = [sys.executable, "-c", PARENT, str(server.directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) == server.pid
        parent.send_signal(number)
    assert gone(server)


def test_stop_leaves_nothing(server: Postgres) -> None:
    held = psycopg.connect(server.url())
    server.stop()
    server.stop()
    assert gone(server, 1)
    assert server.poll() is None
    held.close()


def test_a_port_when_asked(state_dir: Path, free_port: int) -> None:
    server = Postgres(state_dir / "pg", durable=False, port=free_port)
    server.start()
    password = (server.directory / "aift.password").read_text()
    assert ask(f"postgresql://aift:{password}@127.0.0.1:{free_port}/aift") == 1
    server.stop()


def test_a_long_path_gets_a_short_socket(state_dir: Path) -> None:
    deep = state_dir / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    server = Postgres(deep, durable=False)
    server.start()
    assert ask(server.url()) == 1
    sockets = server.socket_directory
    assert deep not in sockets.parents
    server.stop()
    assert not sockets.exists()


def test_why_it_does_not_start_is_told(server: Postgres) -> None:
    server.stop()
    (server.data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(PostgresError, match="no_such_setting"):
        server.start()


def test_a_killed_initdb_is_begun_anew(state_dir: Path) -> None:
    server = Postgres(state_dir / "pg", durable=False)
    (server.directory / "data.new" / "base").mkdir(parents=True)
    server.directory.chmod(0o711)
    server.start()
    assert ask(server.url()) == 1
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as another user")
def test_a_folder_that_the_servers_user_cannot_enter(state_dir: Path) -> None:
    state_dir.chmod(0o700)
    with pytest.raises(PostgresError, match=r"cannot enter .*mode o\+x"):
        Postgres(state_dir / "pg").start()
    assert state_dir.stat().st_mode & 0o777 == 0o700


def test_binaries_copied_elsewhere_work(state_dir: Path, postgres: Postgres) -> None:
    original = postgres._binaries().parent
    copied = copy_install(original, state_dir / "dist")
    assert copy_install(original, state_dir / "dist") == copied
    told = subprocess.run([copied / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("postgres (PostgreSQL)")
    for path in (copied, *copied.rglob("*")):
        assert path.stat().st_mode & 0o005, path


def test_who_can_enter(state_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("we are the server's user")
    stranger = ServerUser(name="nobody", uid=65534, gid=65534)
    assert stranger.can_enter(state_dir)
    state_dir.chmod(0o700)
    assert not stranger.can_enter(state_dir)
    os.chown(state_dir, 65534, -1)
    assert stranger.can_enter(state_dir)
