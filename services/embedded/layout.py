"""The state directory: everything that AIFT keeps on this machine, and nothing outside of it."""

import os
from dataclasses import dataclass
from pathlib import Path

from services.embedded.errors import StateDirUnusable


@dataclass(frozen=True)
class StateDir:
    """Where each thing lies under one root that only its owner reads."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the running supervisor; its content is the supervisor's pid."""
        return self.root / "supervisor.lock"

    @property
    def runtime(self) -> Path:
        """What runs now: pids, ports, restarts."""
        return self.root / "runtime.json"

    @property
    def client(self) -> Path:
        """Addresses and the token file, for the SDK's Client."""
        return self.root / "client.json"

    @property
    def token(self) -> Path:
        """The local user's token."""
        return self.root / "token"

    @property
    def ledger(self) -> Path:
        """Which tokens were issued (their ids, never the tokens)."""
        return self.root / "tokens.json"

    @property
    def keys(self) -> Path:
        """Private signing keys."""
        return self.root / "keys"

    @property
    def auth(self) -> Path:
        """Public keys and the list of revoked tokens, which every service reads."""
        return self.root / "auth"

    @property
    def identities(self) -> Path:
        """One token per process, for its own outgoing calls."""
        return self.root / "identities"

    @property
    def logs(self) -> Path:
        """One rotated log per process."""
        return self.root / "logs"

    @property
    def objects(self) -> Path:
        """The object store in its directory form, shared by the services (a prefix each)."""
        return self.root / "objects"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's own directory: data, socket, passwords."""
        return self.root / "postgres"

    def create(self) -> None:
        """Make what is missing, 0700 each; safe to repeat. Raises StateDirUnusable."""
        # PostgreSQL refuses to run as root; the user that it runs as then must pass through, and may only do that.
        entrance = 0o711 if os.geteuid() == 0 else 0o700
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(entrance)
            for path in (self.keys, self.auth, self.identities, self.logs, self.objects):
                path.mkdir(mode=0o700, exist_ok=True)
                path.chmod(0o700)
        except OSError as error:
            raise StateDirUnusable(self.root, error.strerror or str(error)) from error
