"""Where the Client finds addresses and token."""

import json
from pathlib import Path

import pytest
from aift.discovery import Addresses, default_state_dir, discover
from aift.errors import AiftError

VARIABLES = [
    "AIFT_DATA_ADDRESS",
    "AIFT_TRAINING_ADDRESS",
    "AIFT_REGISTRY_ADDRESS",
    "AIFT_INFERENCE_ADDRESS",
    "AIFT_TOKEN",
    "AIFT_TOKEN_FILE",
]


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AIFT_STATE_DIR", str(tmp_path / "none"))


def write_client_file(folder: Path, **entries: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text("from-file\n", encoding="ascii")
    content = {"data": "h:1", "page": "http://h:8050", "token_file": str(folder / "token"), **entries}
    (folder / "client.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_without_anything_the_default_ports() -> None:
    endpoint = discover()
    assert endpoint.addresses == Addresses()
    assert endpoint.token.read() == ""


def test_the_embedded_systems_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIFT_STATE_DIR", str(write_client_file(tmp_path / "state")))
    endpoint = discover()
    assert endpoint.addresses == Addresses(data="h:1")
    assert endpoint.token.read() == "from-file"
    assert endpoint.page == "http://h:8050"


def test_environment_beats_the_file_and_arguments_beat_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIFT_STATE_DIR", str(write_client_file(tmp_path / "state", registry="h:3")))
    monkeypatch.setenv("AIFT_DATA_ADDRESS", "e:1")
    monkeypatch.setenv("AIFT_TRAINING_ADDRESS", "e:2")
    monkeypatch.setenv("AIFT_TOKEN", "from-environment")
    endpoint = discover(addresses={"data": "a:1"})
    assert endpoint.addresses == Addresses(data="a:1", training="e:2", registry="h:3")
    assert endpoint.token.read() == "from-environment"
    assert discover(token="given").token.read() == "given"


def test_a_given_state_dir_beats_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIFT_DATA_ADDRESS", "e:1")
    monkeypatch.setenv("AIFT_TOKEN", "from-environment")
    endpoint = discover(state_dir=write_client_file(tmp_path / "state"))
    assert endpoint.addresses.data == "h:1"
    assert endpoint.token.read() == "from-file"


def test_a_given_state_dir_must_have_a_running_system(tmp_path: Path) -> None:
    with pytest.raises(AiftError, match="NOT_RUNNING"):
        discover(state_dir=tmp_path)


def test_another_installation_never_gets_this_machines_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIFT_STATE_DIR", str(write_client_file(tmp_path / "state")))
    everywhere = dict.fromkeys(Addresses.names(), "far:1")
    assert discover(addresses=everywhere).token.read() == ""


def test_a_token_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("one", encoding="ascii")
    monkeypatch.setenv("AIFT_TOKEN_FILE", str(path))
    token = discover().token
    assert token.read() == "one"
    path.write_text("two", encoding="ascii")
    assert token.read() == "two"
    path.unlink()
    with pytest.raises(AiftError, match="TOKEN_UNREADABLE"):
        token.read()


def test_a_broken_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "client.json").write_text("[]", encoding="utf-8")
    with pytest.raises(AiftError, match="CLIENT_FILE_UNREADABLE"):
        discover(state_dir=tmp_path)


def test_unknown_services_are_refused() -> None:
    with pytest.raises(TypeError, match="inferenc"):
        discover(addresses={"inferenc": "x:1"})


def test_the_default_state_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIFT_STATE_DIR", "~/aift")
    assert default_state_dir() == Path.home() / "aift"
    monkeypatch.delenv("AIFT_STATE_DIR")
    assert default_state_dir().name == "aift"
