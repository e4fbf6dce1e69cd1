"""Small parts: the lock, what runs, the child's environment, the language, what the doctor says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.embedded import doctor, recovery
from services.embedded.environment import environment
from services.embedded.errors import StateDirUnusable
from services.embedded.language import padded, text
from services.embedded.layout import StateDir
from services.embedded.lock import SupervisorLock
from services.embedded.processes import SERVICES, Machine, table, wanted_ports
from services.embedded.runtime import ProcessRecord, Runtime, created
from services.embedded.settings import EmbeddedSettings


def test_lock_has_one_holder_and_tells_who(tmp_path: Path) -> None:
    first, second = SupervisorLock(tmp_path / "lock"), SupervisorLock(tmp_path / "lock")
    assert first.holder() is None
    assert first.acquire()
    assert not second.acquire()
    assert second.holder() == os.getpid()
    first.release()
    assert second.holder() is None
    assert second.acquire()
    second.release()


def test_runtime_survives_writing_and_tells_reused_pids_apart(tmp_path: Path) -> None:
    me = os.getpid()
    record = ProcessRecord(
        name="data", pid=me, created=created(me), ready=True, restarts=1, last_status=-9, ports={"grpc": 1}
    )
    runtime = Runtime(pid=me, created=created(me), state="healthy", started=1.0, processes=(record,))
    runtime.write(tmp_path / "r.json")
    assert Runtime.read(tmp_path / "r.json") == runtime
    assert record.process() is not None
    assert ProcessRecord(**{**vars(record), "created": 5.0}).process() is None
    (tmp_path / "r.json").write_text("{")
    assert Runtime.read(tmp_path / "r.json") is None
    assert Runtime.read(tmp_path / "none.json") is None


def test_leftovers_that_do_not_end_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_BY_THEMSELVES_S", 0.2)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        record = ProcessRecord(
            name="data",
            pid=process.pid,
            created=created(process.pid),
            ready=True,
            restarts=0,
            last_status=None,
            ports={},
        )
        before = Runtime(pid=1, created=1.0, state="healthy", started=1.0, processes=(record,))
        assert recovery.end_leftovers(before) == ["data"]
    assert recovery.end_leftovers(before) == []
    assert recovery.end_leftovers(None) == []


def test_secrets_reach_only_those_who_need_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"AIFT_S3_SECRET_KEY": "s3", "AIFT_HUB_TOKEN": "hf", "WANDB_API_KEY": "wb", "AIFT_TOKEN": "me"}
    for name, value in {**secrets, "AIFT_LOG_LEVEL": "DEBUG", "OTHER_PASSWORD": "x"}.items():
        monkeypatch.setenv(name, value)
    ports = dict.fromkeys([*wanted_ports(EmbeddedSettings().ports())], 1)
    urls = {service.name: f"postgresql://{service.name}" for service in SERVICES}
    machine = Machine(
        state=StateDir(tmp_path),
        host="127.0.0.1",
        ports=ports,
        database_urls=urls,
        attempt_key=tmp_path / "k",
        postgres=None,
    )
    seen = {spec.name: spec.env for spec in table(machine)}
    assert set(seen) == {"data", "training", "registry", "inference", "worker", "page"}
    holders = {secret: {name for name, env in seen.items() if secret in env} for secret in secrets}
    services = {"data", "training", "registry", "inference"}
    assert holders["AIFT_S3_SECRET_KEY"] == services
    assert holders["AIFT_HUB_TOKEN"] == {"registry", "data"}, "both import from the Hub"
    assert holders["WANDB_API_KEY"] == {"worker"}
    assert holders["AIFT_TOKEN"] == set()
    assert all("OTHER_PASSWORD" not in env and env["AIFT_LOG_LEVEL"] == "DEBUG" for env in seen.values())
    assert {name: env["AIFT_DATABASE_URL"] for name, env in seen.items() if "AIFT_DATABASE_URL" in env} == urls
    assert {name for name, env in seen.items() if "AIFT_ATTEMPT_KEY_FILE" in env} == {"training"}


def test_own_variables_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIFT_LISTEN", "0.0.0.0:1")
    assert environment((), {"AIFT_LISTEN": "127.0.0.1:2"})["AIFT_LISTEN"] == "127.0.0.1:2"


def test_paths_do_not_depend_on_where_the_child_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIFT_CONFIG_FILE", "aift.yaml")
    monkeypatch.setenv("PYTHONPATH", f"here{os.pathsep}/there")
    made = environment((), {})
    assert made["AIFT_CONFIG_FILE"] == str(Path.cwd() / "aift.yaml")
    assert made["PYTHONPATH"] == f"{Path.cwd() / 'here'}{os.pathsep}/there"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "ja_JP.UTF-8"}, "日本語"),
        ({"LANG": "C.UTF-8"}, "English"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "en_US.UTF-8"}, "English"),
        ({}, "English"),
    ],
)
def test_language_follows_the_locale(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert text("English", "日本語") == expected
    assert padded("状態", 6) == "状態  "


def test_a_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirUnusable, match="AIFT_STATE_DIR"):
        StateDir(tmp_path / "file" / "state").create()


def test_doctor_reports_and_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = doctor.examine(tmp_path / "not" / "there", "127.0.0.1", {"page": 1}, running=True)
    found = {finding.name: finding for finding in report.findings}
    assert found["postgresql"].found.startswith("postgres (PostgreSQL) 18")
    assert found["torch"].level == "ok"
    assert all(finding.remedy for finding in report.findings if finding.level != "ok")
    assert report.able
    monkeypatch.setattr(doctor, "MEMORY_NEEDED", 1 << 60)
    worse = doctor.examine(tmp_path, "127.0.0.1", {}, running=True)
    assert not worse.able
    assert worse.as_json()["able"] is False
    assert "✗ memory" in worse.as_text()
