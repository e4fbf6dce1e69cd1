"""Each way in which a token can be wrong."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.core import auth, keys
from services.core.auth import REVOKED_FILE, Verifier, mint
from services.core.errors import Unauthenticated


@pytest.fixture
def verifier(auth_dir: Path, signing_key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch) -> Verifier:
    monkeypatch.setattr(auth, "_LOOK_EVERY_S", 0.0)
    return Verifier(auth_dir)


def refused(verifier: Verifier, token: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def payload(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": "aift", "sub": "a", "tenant": "t", "role": "admin", "jti": "j", "iat": now, "exp": now + 60}
    return {key: value for key, value in (good | changes).items() if value is not None}


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def test_a_good_token(verifier: Verifier, signing_key: Ed25519PrivateKey) -> None:
    token = mint(
        signing_key, subject="a", tenant="t", role="worker", ttl_s=60, job="trainingJobs/j", attempt=2, fence=7
    )
    for _ in range(2):
        claims = verifier.verify(token)
        assert (claims.principal, claims.tenant, claims.role) == ("a", "t", "worker")
        assert (claims.job, claims.attempt, claims.fence) == ("trainingJobs/j", 2, 7)


def test_a_role_that_does_not_exist_is_not_minted(signing_key: Ed25519PrivateKey) -> None:
    with pytest.raises(ValueError, match="no such role"):
        mint(signing_key, subject="a", tenant="t", role="root", ttl_s=60)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é", "\0", "a" * 100_000, "..", "null"])
def test_not_a_token(verifier: Verifier, text: str) -> None:
    refused(verifier, text)


def test_signed_by_someone_else(verifier: Verifier, signing_key: Ed25519PrivateKey) -> None:
    kid = keys.key_id(signing_key.public_key())
    forged = jwt.encode(payload(), Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": kid})
    refused(verifier, forged)
    refused(verifier, mint(Ed25519PrivateKey.generate(), subject="a", tenant="t", role="admin", ttl_s=60))


def test_a_changed_payload(verifier: Verifier, make_token: Callable[..., str]) -> None:
    head, _, signature = make_token("viewer").split(".")
    refused(verifier, ".".join([head, part(payload()), signature]))


def test_algorithm_none(verifier: Verifier, signing_key: Ed25519PrivateKey) -> None:
    kid = keys.key_id(signing_key.public_key())
    for name in ("none", "None", "NONE"):
        refused(verifier, ".".join([part({"alg": name, "typ": "JWT", "kid": kid}), part(payload()), ""]))
    refused(verifier, jwt.encode(payload(), None, algorithm="none", headers={"kid": kid}))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_the_public_key_as_a_shared_secret(verifier: Verifier, signing_key: Ed25519PrivateKey) -> None:
    public = signing_key.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    refused(verifier, jwt.encode(payload(), raw, algorithm="HS256", headers={"kid": keys.key_id(public)}))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1_000_000_000},
        {"exp": None},
        {"iat": None},
        {"iat": 4_000_000_000},
        {"jti": None},
        {"sub": None},
        {"sub": ""},
        {"tenant": None},
        {"tenant": ""},
        {"role": None},
        {"role": "root"},
        {"role": ["admin"]},
        {"role": {}},
        {"iss": None},
        {"iss": "other"},
    ],
    ids=str,
)
def test_claims_that_are_wrong(verifier: Verifier, signing_key: Ed25519PrivateKey, changes: dict[str, Any]) -> None:
    headers = {"kid": keys.key_id(signing_key.public_key())}
    refused(verifier, jwt.encode(payload(**changes), signing_key, algorithm="EdDSA", headers=headers))


def test_the_helper_makes_good_payloads(verifier: Verifier, signing_key: Ed25519PrivateKey) -> None:
    headers = {"kid": keys.key_id(signing_key.public_key())}
    assert verifier.verify(jwt.encode(payload(), signing_key, algorithm="EdDSA", headers=headers)).role == "admin"


@pytest.mark.parametrize("kid", [None, "", "../../etc/passwd", "0" * 16])
def test_a_key_that_is_not_there(verifier: Verifier, signing_key: Ed25519PrivateKey, kid: str | None) -> None:
    headers = {} if kid is None else {"kid": kid}
    refused(verifier, jwt.encode(payload(), signing_key, algorithm="EdDSA", headers=headers))


def test_a_token_expires_although_it_is_remembered(verifier: Verifier, make_token: Callable[..., str]) -> None:
    token = make_token(ttl_s=2)
    assert verifier.verify(token)
    time.sleep(2.1)
    refused(verifier, token)
    refused(verifier, token)


def test_a_revoked_token_although_it_is_remembered(
    verifier: Verifier, make_token: Callable[..., str], auth_dir: Path
) -> None:
    token, other = make_token(), make_token()
    claims = verifier.verify(token)
    (auth_dir / REVOKED_FILE).write_text(f"# left the company\n{claims.token_id}  # alice\n")
    refused(verifier, token)
    assert verifier.verify(other)


def test_a_key_that_is_taken_away(verifier: Verifier, make_token: Callable[..., str], auth_dir: Path) -> None:
    token = make_token()
    assert verifier.verify(token)
    for path in auth_dir.glob("*.pem"):
        path.unlink()
    refused(verifier, token)


def test_a_key_that_comes_later(verifier: Verifier, auth_dir: Path) -> None:
    new = Ed25519PrivateKey.generate()
    token = mint(new, subject="a", tenant="t", role="viewer", ttl_s=60)
    refused(verifier, token)
    keys.publish(new.public_key(), auth_dir)
    assert verifier.verify(token).role == "viewer"


def test_a_broken_key_file_does_not_hide_the_others(
    verifier: Verifier, make_token: Callable[..., str], auth_dir: Path
) -> None:
    (auth_dir / "broken.pem").write_text("not a key")
    assert verifier.verify(make_token())


def test_no_folder_of_keys_refuses_everyone(tmp_path: Path, make_token: Callable[..., str]) -> None:
    refused(Verifier(tmp_path / "none"), make_token())


def test_remembered_tokens_are_bounded(
    verifier: Verifier, make_token: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_CACHED_TOKENS", 3)
    for number in range(6):
        verifier.verify(make_token(subject=f"s{number}"))
    assert len(verifier._known) == 3


def test_private_keys_are_private(tmp_path: Path) -> None:
    keys.generate(tmp_path / "secret" / "key.pem", tmp_path / "auth")
    assert (tmp_path / "secret" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert keys.load_private(tmp_path / "secret" / "key.pem")
    with pytest.raises(FileExistsError):
        keys.generate(tmp_path / "secret" / "key.pem", tmp_path / "auth")
    assert list((tmp_path / "auth").iterdir())
