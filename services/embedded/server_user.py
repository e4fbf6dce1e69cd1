"""Who PostgreSQL runs as, what that user can enter, and handing paths over to it. PostgreSQL refuses root."""

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ServerUser:
    """A user of this machine: ourselves, or one without rights when we are root."""

    name: str
    uid: int
    gid: int

    def run_options(self) -> dict[str, Any]:
        """What `subprocess` needs to run something as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}

    def give(self, path: Path) -> None:
        """Makes the user own `path`; nothing to do when that is ourselves."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, path: Path) -> bool:
        """Whether the user may pass through `path` and everything above it."""
        return os.geteuid() != 0 or all(self._passes(p.stat()) for p in (path, *path.parents))

    def _passes(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def server_user(data: Path) -> ServerUser:
    """The owner of an existing cluster, else ourselves, else (as root) `postgres` or `nobody`."""
    if os.geteuid() != 0:
        entry = pwd.getpwuid(os.geteuid())
    elif data.exists():
        entry = pwd.getpwuid(data.stat().st_uid)
    else:
        known = {e.pw_name: e for e in pwd.getpwall()}
        entry = known.get("postgres") or known["nobody"]
    return ServerUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def write_secret(path: Path, text: str) -> None:
    """Writes a file that only we may read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.rename(path)


def copy_install(install: Path, into: Path) -> Path:
    """Copies the binaries, with the libraries that they find by relative path, to a folder that others may enter."""
    copied = into / install.parent.name / install.name
    if copied.exists():
        return copied
    into.mkdir(mode=0o755, parents=True, exist_ok=True)
    libraries = install.parent.parent / f"{install.parent.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, into / libraries.name, dirs_exist_ok=True)
    fresh = copied.with_name(f"{copied.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(install, fresh, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in (into, *into.rglob("*")):
        path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.is_dir() else 0))
    fresh.rename(copied)
    return copied
