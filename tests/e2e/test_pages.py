"""Each page as Streamlit runs it, on a running system: what it shows, and that its controls do what they say."""

from __future__ import annotations

import pytest
from aift import Client
from aift.registry.v1 import registry_pb2

from tests.e2e.conftest import Open, button, healthy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]


def test_dashboard_shows_machine_and_jobs(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("dashboard")
    labels = {metric.label for metric in page.metric}
    assert {"CPU使用率", "メモリ使用量"} <= labels
    assert any("完了" in text.value for text in page.markdown)
    assert any(tuned.name in caption.value for caption in page.caption)


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
