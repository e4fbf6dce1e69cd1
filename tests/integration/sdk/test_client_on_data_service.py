"""The client on the real data service: its process, PostgreSQL, files, sockets."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aift.client import Client
from aift.datasets import InvalidDataError
from aift.errors import AiftError
from aift.progress import Progress

from services.core import lifeline

ROWS = [{"text": f"質問: {number} の次は？\n回答: {number + 1} です。"} for number in range(120)]


class Service:
    """A process that can be killed and started again at the same address."""

    def __init__(self, state_dir: Path, database_url: str, auth_dir: Path, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._log = (state_dir / "data.log").open("wb")
        self._environment = {
            **os.environ,
            "AIFT_STATE_DIR": str(state_dir),
            "AIFT_DATABASE_URL": database_url,
            "AIFT_AUTH_DIR": str(auth_dir),
            "AIFT_LISTEN": self.address,
            "AIFT_HTTP_LISTEN": "127.0.0.1:0",
        }
        self._run("migrate").wait(60)
        self.start()

    def start(self) -> None:
        self.process = self._run("serve")

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(30)

    def close(self) -> None:
        self.end(signal.SIGTERM)
        self._log.close()

    def _run(self, verb: str) -> "subprocess.Popen[bytes]":
        argv = [sys.executable, "-m", "services.data_service", verb]
        return lifeline.popen(argv, env=self._environment, stdout=self._log, stderr=self._log)


@pytest.fixture
def service(state_dir: Path, database_url: str, auth_dir: Path, free_port: int) -> Iterator[Service]:
    running = Service(state_dir, database_url, auth_dir, free_port)
    yield running
    running.close()


@pytest.fixture
def client(service: Service, make_token: Callable[..., str]) -> Iterator[Client]:
    nowhere = dict.fromkeys(("training", "registry", "inference"), "127.0.0.1:1")
    with Client(make_token(), {"data": service.address, **nowhere}, patience_s=60) as connected:
        while not connected.health()["data"]:
            time.sleep(0.1)
        yield connected


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_a_file_becomes_a_version_and_comes_back(client: Client, rows: Path, tmp_path: Path) -> None:
    version = client.datasets.upload(rows)
    assert version.name == "datasets/questions/versions/1"
    assert version.statistics.rows == len(ROWS)
    report = client.datasets.report("questions")
    assert report.valid
    assert "質問" in report.template.prompt_marker
    page = client.datasets.preview("questions", offset=3, limit=2)
    assert [row.index for row in page.rows] == [3, 4]
    assert page.rows[0].completion.strip() == "4 です。"
    fetched = client.datasets.download("questions", tmp_path / "back.jsonl")
    assert fetched.read_bytes() == rows.read_bytes()
    assert client.datasets.upload(rows).name == "datasets/questions/versions/2"
    assert [v.name[-1] for v in client.datasets.versions("questions")] == ["2", "1"]
    client.datasets.update("questions", display_name="質問集")
    assert [d.display_name for d in client.datasets.list()] == ["質問集"]
    client.datasets.delete("questions/versions/1")
    client.datasets.delete("questions")
    assert list(client.datasets.list()) == []


def test_what_is_wrong_with_a_file_is_told_by_line(client: Client, rows: Path) -> None:
    lines = rows.read_text(encoding="utf-8").splitlines()
    lines[2] = '{"text": '
    rows.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InvalidDataError) as caught:
        client.datasets.upload(rows)
    assert caught.value.report.findings[0].examples[0].line == 3
    assert list(client.datasets.list()) == []


def test_texts_are_rows(client: Client) -> None:
    version = client.datasets.from_texts([row["text"] for row in ROWS])
    assert version.statistics.rows == len(ROWS)


def test_without_a_token_nothing_is_told(service: Service, client: Client) -> None:
    del client  # it only waited until the service was ready
    addresses = dict.fromkeys(("data", "training", "registry", "inference"), service.address)
    with Client(addresses=addresses) as stranger, pytest.raises(AiftError, match="UNAUTHENTICATED"):
        list(stranger.datasets.list())


def test_an_upload_survives_the_services_death(client: Client, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(1 << 20) * 40)
    killed: list[int] = []

    def kill_half_way(progress: Progress) -> None:
        if progress.done > progress.total // 2 and not killed:
            killed.append(progress.done)
            service.end(signal.SIGKILL)
            service.start()

    upload = client.uploads.send(path, on_progress=kill_half_way)
    assert killed
    assert upload.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_bad_rows_are_set_aside_and_come_back(client: Client, rows: Path, tmp_path: Path) -> None:
    with rows.open("a", encoding="utf-8") as file:
        file.write('{"text": ""}\n')
    version = client.datasets.upload(rows, bad_rows="set-aside")
    assert version.statistics.rows == len(ROWS)
    assert client.datasets.report(version.name).set_aside_rows == 1
    aside = client.datasets.download(version.name, tmp_path, file="set-aside")
    assert aside.name == "questions.set-aside.jsonl"
    assert json.loads(aside.read_text(encoding="utf-8"))["line"] == len(ROWS) + 1
    assert client.datasets.download(version.name, tmp_path, file="canonical").read_bytes()[:4] == b"PAR1"


def test_a_table_in_an_old_encoding_with_columns_of_its_own(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "表.csv"
    lines = [f"{number},{number}の次は？,{number + 1}です" for number in range(120)]
    path.write_text("\n".join(["番号,質問,回答", *lines]), encoding="cp932")
    with pytest.raises(InvalidDataError, match="NOT_UTF8"):
        client.datasets.upload(path, dataset="table")
    columns = {"instruction": "質問", "response": "回答"}
    version = client.datasets.upload(path, dataset="table", encoding="sjis", columns=columns)
    (row,) = client.datasets.preview(version.name, limit=1).rows
    assert (row.prompt.strip(), row.completion) == ("0の次は？", "1です")


def test_a_version_is_prepared_and_compared(client: Client, rows: Path) -> None:
    version = client.datasets.upload(rows)
    changes = client.datasets.preview_preparation(version.name, drop_patterns=["^7 の次"], limit=50)
    assert (changes.rows, changes.dropped_rows) == (50, 1)
    done = client.datasets.prepare("questions", {"form": "messages"}, split={"test": 0.2}, dataset="as-messages")
    made = client.datasets.version(done.dataset_version)
    held_out = client.datasets.version(done.test_version)
    assert made.statistics.rows + held_out.statistics.rows == len(ROWS)
    assert made.parent == version.name
    assert [step.name for step in done.steps]
    found = client.datasets.diff(version.name, made.name)
    assert found.unchanged_rows + found.changed_rows + found.removed_rows == len(ROWS)
    (reference, *_) = client.datasets.references("questions")
    assert reference.referrer.startswith("datasets/as-messages")
    with pytest.raises(AiftError, match="DATASET_REFERENCED"):
        client.datasets.delete("questions")
    client.datasets.delete("questions", force=True)


def test_a_dropped_file_is_imported(client: Client, rows: Path, state_dir: Path) -> None:
    (state_dir / "drop").mkdir(exist_ok=True)
    dropped = state_dir / "drop" / "届いた.jsonl"
    dropped.write_bytes(rows.read_bytes())
    while not next(client.datasets.dropped_files()).settled:
        time.sleep(0.2)
    stages: list[str] = []
    version = client.datasets.import_dropped(
        "届いた.jsonl", dataset="dropped", on_progress=lambda progress: stages.append(progress.stage)
    )
    assert version.statistics.rows == len(ROWS)
    assert "届いた.jsonl" in version.source
    assert set(stages) <= {"fetching", "validating"}
    with pytest.raises(AiftError, match="URL_NOT_ALLOWED"):
        client.datasets.import_url("https://example.com/rows.jsonl")
