"""Who everyone on this machine is: the signing keys, a token for each process, one for the local user."""

import getpass
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.core import keys
from services.embedded.layout import StateDir
from services.embedded.private_file import write_private
from services.embedded.tokens import DAY_S, Ledger, outlives, read, sign

TENANT = "default"
PROCESS_DAYS = 30.0  # renewed daily while the supervisor runs
USER_DAYS = 365.0
_RENEW_BELOW_DAYS = 30.0


@dataclass(frozen=True)
class Identities:
    """The keys and tokens under one state directory."""

    state: StateDir

    def signing_key(self) -> Ed25519PrivateKey:
        """The key that signs the tokens of people and processes; made at first use."""
        return self._key("signing")

    def delegate_key(self, name: str) -> Path:
        """A key that a service signs with itself, such as training for its attempts; made at first use."""
        self._key(name)
        return self._key_file(name)

    def renew_process(self, name: str, role: str) -> Path:
        """Write a fresh token for a process' own calls; the file."""
        issued = sign(self.signing_key(), name=name, role=role, tenant=TENANT, ttl_s=PROCESS_DAYS * DAY_S)
        write_private(self.process_file(name), issued.token + "\n")
        return self.process_file(name)

    def process_file(self, name: str) -> Path:
        """Where a process finds its own token."""
        return self.state.identities / f"{name}.token"

    def ensure_user(self) -> Path:
        """The local user's token, made anew when it is absent, about to end, revoked, or of another key."""
        ledger = Ledger(self.state.ledger, self.state.auth)
        key = self.signing_key()
        if not self._user_token_good(ledger):
            issued = ledger.issue(key, name=getpass.getuser(), role="admin", tenant=TENANT, ttl_s=USER_DAYS * DAY_S)
            write_private(self.state.token, issued.token + "\n")
        return self.state.token

    def _user_token_good(self, ledger: Ledger) -> bool:
        if not self.state.token.exists():
            return False
        token = self.state.token.read_text().strip()
        known = {record.id for record in ledger.records()} - ledger.revoked()
        return outlives(token, _RENEW_BELOW_DAYS * DAY_S) and read(token)["jti"] in known

    def _key(self, name: str) -> Ed25519PrivateKey:
        path = self._key_file(name)
        if not path.exists():
            return keys.generate(path, self.state.auth)
        key = keys.load_private(path)
        keys.publish(key.public_key(), self.state.auth)
        return key

    def _key_file(self, name: str) -> Path:
        return self.state.keys / f"{name}.pem"
