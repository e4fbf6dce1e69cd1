"""Tokens: making them, and deciding whether one is good. Ed25519-signed JWTs, nothing else is accepted."""

import logging
import time
import uuid
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.core.context import Claims
from services.core.errors import Unauthenticated
from services.core.keys import key_id, load_public

log = logging.getLogger(__name__)

ROLES = frozenset({"viewer", "editor", "admin", "worker", "service"})
REVOKED_FILE = "revoked.txt"
_ALGORITHM = "EdDSA"
_ISSUER = "aift"
_REQUIRED = ["sub", "tenant", "role", "jti", "iat", "exp", "iss"]
_CACHED_TOKENS = 4096
_LOOK_EVERY_S = 1.0
_MAX_TOKEN_CHARS = 4096


def mint(
    key: Ed25519PrivateKey,
    *,
    subject: str,
    tenant: str,
    role: str,
    ttl_s: float,
    job: str | None = None,
    attempt: int | None = None,
    fence: int | None = None,
) -> str:
    """Signs a token. `job`, `attempt` and `fence` make it the token of one attempt. Raises ValueError on a role
    that does not exist."""
    if role not in ROLES:
        raise ValueError(f"no such role: {role!r}")
    now = int(time.time())
    claims = {"iss": _ISSUER, "sub": subject, "tenant": tenant, "role": role, "jti": uuid.uuid4().hex}
    times = {"iat": now, "exp": now + int(ttl_s)}
    of_attempt = {k: v for k, v in {"job": job, "attempt": attempt, "fence": fence}.items() if v is not None}
    headers = {"kid": key_id(key.public_key())}
    return jwt.encode({**claims, **times, **of_attempt}, key, algorithm=_ALGORITHM, headers=headers)


class Verifier:
    """Says whether a token is good. Keys and revocations are read again within a second of a change.

    Verified tokens are remembered (a signature costs more than the call), at most 4,096 of them, and forgotten when
    they expire or when the folder changes.
    """

    def __init__(self, auth_dir: Path) -> None:
        self._dir = auth_dir
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._revoked: frozenset[str] = frozenset()
        self._known: dict[str, Claims] = {}
        self._seen: object = None
        self._look_at = 0.0

    def verify(self, token: str) -> Claims:
        """What the token says. Raises Unauthenticated; the reason is logged, not told."""
        if time.monotonic() >= self._look_at:
            self._refresh()
        claims = self._known.get(token)
        if claims is None:
            claims = self._check(token)
            self._remember(token, claims)
        elif claims.expires_at <= time.time():
            del self._known[token]
            raise Unauthenticated
        return claims

    def _check(self, token: str) -> Claims:
        try:
            return self._decode(token)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            log.warning("token refused: %s: %s", type(error).__name__, error)
            raise Unauthenticated from None

    def _decode(self, token: str) -> Claims:
        if len(token) > _MAX_TOKEN_CHARS:
            raise ValueError("longer than any token of ours")
        key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
        options: dict[str, object] = {"require": _REQUIRED}
        says = jwt.decode(token, key, algorithms=[_ALGORITHM], issuer=_ISSUER, options=options)  # type: ignore[arg-type]
        if says["role"] not in ROLES or says["jti"] in self._revoked or not says["sub"] or not says["tenant"]:
            raise ValueError(f"revoked or malformed: jti={says['jti']!r}")
        return Claims(
            principal=str(says["sub"]),
            tenant=str(says["tenant"]),
            role=says["role"],
            token_id=str(says["jti"]),
            expires_at=float(says["exp"]),
            job=says.get("job"),
            attempt=says.get("attempt"),
            fence=says.get("fence"),
        )

    def _remember(self, token: str, claims: Claims) -> None:
        if len(self._known) >= _CACHED_TOKENS:
            del self._known[next(iter(self._known))]
        self._known[token] = claims

    def _refresh(self) -> None:
        self._look_at = time.monotonic() + _LOOK_EVERY_S
        files = sorted(self._dir.glob("*.pem")) if self._dir.is_dir() else []
        revoked = self._dir / REVOKED_FILE
        watched = [*files, revoked] if revoked.exists() else files
        stamps = [(path.name, status.st_mtime_ns, status.st_size) for path in watched if (status := path.stat())]
        if stamps == self._seen:
            return
        self._keys = {key_id(key): key for path in files if (key := _public_key(path)) is not None}
        lines = revoked.read_text().splitlines() if revoked.exists() else []
        self._revoked = frozenset(line.split("#")[0].strip() for line in lines)
        self._known.clear()
        self._seen = stamps


def _public_key(path: Path) -> Ed25519PublicKey | None:
    try:
        return load_public(path)
    except (OSError, ValueError):
        log.exception("%s is no public key of ours and is left out", path)
        return None
