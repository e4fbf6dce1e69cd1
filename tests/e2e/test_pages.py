"""Each page as Streamlit runs it, on a running system: what it shows, and that its controls do what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from aift import Client
from aift.registry.v1 import registry_pb2
from streamlit.testing.v1 import AppTest

from tests.e2e.conftest import ROOT, System

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]

Open = Callable[..., AppTest]


@pytest.fixture
def open_page(system: System, monkeypatch: pytest.MonkeyPatch) -> Open:
    """``open_page("data", job="…")`` runs a page with the query of its address."""
    monkeypatch.setenv("AIFT_STATE_DIR", str(system.state))
    for name in ("AIFT_TOKEN", "AIFT_TOKEN_FILE", "AIFT_DATA_ADDRESS"):
        monkeypatch.delenv(name, raising=False)

    def run(page: str, **query: str) -> AppTest:
        test = AppTest.from_file(str(ROOT / "frontend/script.py"), default_timeout=60)
        test.run()
        for name, value in query.items():
            test.query_params[name] = value
        if page != "dashboard":
            test.switch_page(f"pages/{page}.py")
        return healthy(test.run())

    return run


def healthy(test: AppTest) -> AppTest:
    assert not test.exception, [exception.value for exception in test.exception]
    assert not test.error, [error.value for error in test.error]
    return test


def button(test: AppTest, label: str) -> None:
    """Presses the button and runs the page."""
    healthy(next(b for b in test.button if b.label == label).click().run())


def test_dashboard_shows_machine_and_jobs(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("dashboard")
    labels = {metric.label for metric in page.metric}
    assert {"CPU使用率", "メモリ使用量"} <= labels
    assert any("完了" in text.value for text in page.markdown)
    assert any(tuned.name in caption.value for caption in page.caption)


def test_data_page_shows_rows_and_report(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("data", dataset="faq")
    frames = [frame.value for frame in page.dataframe]
    assert any("prompt" in frame.columns and len(frame) == 20 for frame in frames)
    assert any(metric.label == "正しい行" for metric in page.metric)


def test_data_page_takes_a_file(open_page: Open, client: Client, tmp_path: Path) -> None:
    rows = "".join(f'{{"text": "質問: {n}番は？\\n回答: {n}です。"}}\n' for n in range(30))
    page = open_page("data")
    page.file_uploader[0].upload("faq-page.jsonl", rows.encode(), "application/json")
    button(page, "アップロード")
    assert page.query_params["job"]
    client.datasets.wait(page.query_params["job"])
    assert any("アップロード完了" in success.value for success in page.run().success)
    assert client.datasets.version("datasets/faq-page/versions/1").statistics.rows == 30


def test_fine_tune_page_plans_and_starts_a_job(
    open_page: Open, client: Client, tuned: registry_pb2.ModelVersion
) -> None:
    page = open_page("finetune", data=tuned.dataset_version, base=tuned.base_model)
    labels = {metric.label for metric in page.metric}
    assert {"学習するパラメータ", "ステップ数", "実効バッチサイズ"} <= labels
    page.text_input[0].set_value("from-page")
    page.number_input[3].set_value(0.05)
    healthy(page.run())
    before = {job.name for job in client.training.list()}
    next(b for b in page.button if b.label == "ファインチューニング開始").click().run()
    (started,) = {job.name for job in client.training.list()} - before
    job = client.training.wait(started)
    assert job.model_version == "models/from-page/versions/1"


def test_job_page_tells_the_end(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("job", name="first")
    assert any("ファインチューニング完了" in success.value and tuned.name in success.value for success in page.success)
    assert any("数量を教えてください" in str(frame.value) for frame in page.dataframe)


def test_generate_page_compares_base_and_tuned(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("generate", model=tuned.name)
    page.text_area[0].set_value("納品日を教えてください。")
    page.run()
    button(page, "テキスト生成")
    answers = [caption.value for caption in page.caption if "tokens/s" in caption.value]
    assert len(answers) == 2


def test_models_page_moves_an_alias(open_page: Open, client: Client, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("models", model="models/tuned")
    page.text_input[0].set_value("production")
    page.run()
    button(page, "版 1 に向ける")
    assert client.models.version("models/tuned@production").name == tuned.name
