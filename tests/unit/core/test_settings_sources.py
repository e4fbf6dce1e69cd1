"""Where settings come from, and what happens when they are wrong."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from services.core.settings import BAD_CONFIGURATION, ProcessSettings, Settings, is_loopback, load

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIFT_DATABASE_URL", f"postgresql://u:{SECRET}@h/d")
    monkeypatch.delenv("AIFT_CONFIG_FILE", raising=False)


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "aift.yaml").write_text("listen: 0.0.0.0:1\ns3_bucket: from-file\nunknown_to_us: 1\n")
    monkeypatch.setenv("AIFT_CONFIG_FILE", str(tmp_path / "aift.yaml"))
    monkeypatch.setenv("AIFT_LISTEN", "0.0.0.0:2")
    settings = load(Settings)
    assert (settings.listen, settings.s3_bucket) == ("0.0.0.0:2", "from-file")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIFT_REFLECTION", "")
    assert load(Settings).reflection is None


def test_mistakes_name_the_variable_and_never_the_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIFT_DATABASE_URL")
    monkeypatch.setenv("AIFT_DRAIN_SECONDS", SECRET)
    with pytest.raises(SystemExit) as caught:
        load(Settings)
    assert caught.value.code == BAD_CONFIGURATION
    told = capsys.readouterr().err
    assert "AIFT_DATABASE_URL: " in told
    assert "AIFT_DRAIN_SECONDS: " in told
    assert SECRET not in told


@pytest.mark.parametrize("content", [None, "listen: [unclosed"])
def test_a_bad_file(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "aift.yaml"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("AIFT_CONFIG_FILE", str(path))
    with pytest.raises(SystemExit) as caught:
        load(Settings)
    assert caught.value.code == BAD_CONFIGURATION
    assert str(path) in capsys.readouterr().err


def test_secrets_are_not_shown() -> None:
    settings = load(Settings)
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.database_url.get_secret_value().endswith("@h/d")


def test_paths_follow_the_state_directory(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, database_url=SecretStr("x"))
    assert settings.objects_path == tmp_path / "objects"
    assert settings.auth_path == tmp_path / "auth"
    assert Settings(auth_dir=tmp_path, database_url=SecretStr("x")).auth_path == tmp_path


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True),
     ("0.0.0.0:1", False), ("[::]:1", False), ("10.0.0.1:1", False), ("data.internal:1", False)],
)  # fmt: skip
def test_reflection_is_open_on_loopback_only(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback
    assert Settings(listen=address, database_url=SecretStr("x")).open_reflection is loopback


def test_reflection_can_be_set() -> None:
    assert Settings(listen="0.0.0.0:1", reflection=True, database_url=SecretStr("x")).open_reflection
    assert not Settings(reflection=False, database_url=SecretStr("x")).open_reflection


def test_a_process_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIFT_DATABASE_URL")
    assert load(ProcessSettings).training_address
