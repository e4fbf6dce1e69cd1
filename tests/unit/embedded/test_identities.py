"""Keys and tokens: made once, private, renewed, revocable, good for the services' own verifier."""

import stat
from pathlib import Path

import pytest

from services.core.auth import Verifier
from services.core.errors import Unauthenticated
from services.embedded.errors import TokenUnknown
from services.embedded.identities import Identities
from services.embedded.layout import StateDir
from services.embedded.tokens import Ledger, outlives


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.create()
    return made


def test_process_tokens_carry_their_role(state: StateDir) -> None:
    identities = Identities(state)
    verifier = Verifier(state.auth)
    for name, role in (("data", "service"), ("worker", "worker")):
        claims = verifier.verify(identities.renew_process(name, role).read_text().strip())
        assert (claims.principal, claims.role, claims.tenant) == (name, role, "default")


def test_private_files_are_private(state: StateDir) -> None:
    identities = Identities(state)
    identities.delegate_key("attempt")
    identities.renew_process("data", "service")
    identities.ensure_user()
    for path in (*state.keys.iterdir(), *state.identities.iterdir(), state.token, state.ledger):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(state.keys.stat().st_mode) == 0o700
    assert b"PRIVATE" not in b"".join(path.read_bytes() for path in state.auth.iterdir())


def test_the_users_token_stays_until_it_must_change(state: StateDir) -> None:
    first = Identities(state).ensure_user().read_text()
    assert Identities(state).ensure_user().read_text() == first
    assert Verifier(state.auth).verify(first.strip()).role == "admin"

    ledger = Ledger(state.ledger, state.auth)
    ledger.revoke(next(ledger.records()).id)
    second = Identities(state).ensure_user().read_text()
    assert second != first
    with pytest.raises(Unauthenticated):
        Verifier(state.auth).verify(first.strip())

    state.token.write_text("nonsense\n")
    assert Identities(state).ensure_user().read_text() not in ("nonsense\n", second)


def test_public_keys_come_back_when_the_folder_was_emptied(state: StateDir) -> None:
    token = Identities(state).renew_process("data", "service").read_text().strip()
    for path in state.auth.iterdir():
        path.unlink()
    Identities(state).signing_key()
    assert Verifier(state.auth).verify(token).principal == "data"


def test_ledger_knows_ids_but_no_tokens(state: StateDir) -> None:
    ledger = Ledger(state.ledger, state.auth)
    issued = ledger.issue(Identities(state).signing_key(), name="花子", role="viewer", tenant="a", ttl_s=60)
    assert [record.name for record in ledger.records()] == ["花子"]
    assert issued.token not in state.ledger.read_text()
    assert outlives(issued.token, 30)
    assert not outlives(issued.token, 90)
    ledger.revoke(issued.record.id)
    ledger.revoke(issued.record.id)
    assert ledger.revoked() == {issued.record.id}
    with pytest.raises(TokenUnknown):
        ledger.revoke("nobody")
    with pytest.raises(ValueError, match="no such role"):
        ledger.issue(Identities(state).signing_key(), name="x", role="root", tenant="a", ttl_s=60)
