"""Tokens issued on this machine: made, listed, revoked. The tokens themselves are shown once and never kept."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.core.auth import REVOKED_FILE, mint
from services.embedded.errors import TokenUnknown

DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class TokenRecord:
    """What is kept of a token."""

    id: str  # the token's jti
    name: str  # the principal
    tenant: str
    role: str
    created: float  # seconds since 1970
    expires: float


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A new token and its record."""

    token: str
    record: TokenRecord


class Ledger:
    """An append-only file of what was issued, beside the list of revoked ids that every service reads."""

    def __init__(self, path: Path, auth_dir: Path) -> None:
        self._path = path
        self._revoked = auth_dir / REVOKED_FILE

    def issue(self, key: Ed25519PrivateKey, *, name: str, role: str, tenant: str, ttl_s: float) -> Issued:
        """Sign a token for `ttl_s` seconds and remember its id. Raises ValueError on a role that does not exist."""
        issued = sign(key, name=name, role=role, tenant=tenant, ttl_s=ttl_s)
        _append(self._path, json.dumps(asdict(issued.record), ensure_ascii=False))
        return issued

    def revoke(self, token_id: str) -> TokenRecord:
        """Make a token worthless within a second. Raises TokenUnknown. Repeatable."""
        record = next((record for record in self.records() if record.id == token_id), None)
        if record is None:
            raise TokenUnknown(token_id)
        if token_id not in self.revoked():
            _append(self._revoked, token_id)
        return record

    def records(self) -> Iterator[TokenRecord]:
        """Everything issued, oldest first."""
        for line in _lines(self._path):
            yield TokenRecord(**json.loads(line))

    def revoked(self) -> frozenset[str]:
        """The ids of revoked tokens."""
        return frozenset(_lines(self._revoked))


def sign(key: Ed25519PrivateKey, *, name: str, role: str, tenant: str, ttl_s: float) -> Issued:
    """A token and what it says, remembered nowhere."""
    token = mint(key, subject=name, tenant=tenant, role=role, ttl_s=ttl_s)
    says = read(token)
    record = TokenRecord(
        id=says["jti"], name=name, tenant=tenant, role=role, created=float(says["iat"]), expires=float(says["exp"])
    )
    return Issued(token=token, record=record)


def outlives(token: str, seconds: float) -> bool:
    """Whether a token is well-formed and still good for `seconds`. Its signature is not looked at."""
    try:
        return float(read(token)["exp"]) > time.time() + seconds
    except (jwt.PyJWTError, KeyError):
        return False


def read(token: str) -> dict[str, str]:
    """The claims of a token of our own making."""
    claims: dict[str, str] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _append(path: Path, line: str) -> None:
    path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
