"""Each page as Streamlit runs it, on a running system: what it shows, and that its controls do what they say."""

from __future__ import annotations

from typing import Any

import pytest
from aift import Client
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2
from streamlit.testing.v1 import AppTest

from tests.e2e.conftest import ROOT, Open, button, healthy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]

PREFERENCE_DATA = ROOT / "samples/data/sample_preference_data.jsonl"


def test_dashboard_shows_machine_and_jobs(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("dashboard")
    labels = {metric.label for metric in page.metric}
    assert {"CPU使用率", "メモリ使用量"} <= labels
    assert any("完了" in text.value for text in page.markdown)
    assert any(tuned.name in caption.value for caption in page.caption)


def field(page: AppTest, kind: str, name: str) -> Any:
    """The widget of a field of the fine-tune page."""
    return next(widget for widget in page.get(kind) if widget.key == f"draft-{name}")


def address(page: AppTest, name: str) -> str:
    """A part of the page's address; Streamlit's tests keep what we set as it is, and what they set as a list."""
    value = page.query_params[name]
    return value if isinstance(value, str) else value[0]


def started_job(page: AppTest, client: Client) -> str:
    """Presses the button that starts, and finds the job."""
    before = {job.name for job in client.training.list()}
    next(b for b in page.button if b.label == "ファインチューニング開始").click().run()
    (started,) = {job.name for job in client.training.list()} - before
    return started


def test_fine_tune_page_plans_and_starts_a_job(
    open_page: Open, client: Client, tuned: registry_pb2.ModelVersion
) -> None:
    page = open_page("finetune", data=tuned.dataset_version, base=tuned.base_model)
    labels = {metric.label for metric in page.metric}
    assert {
        "学習するパラメータ",
        "ステップ数",
        "実効バッチサイズ",
        "学習時間",
        "トークン数",
        "省けるパディング",
    } <= labels
    field(page, "text_input", "model").set_value("from-page")
    field(page, "number_input", "max_steps").set_value(3)
    healthy(page.run())
    job = client.training.wait(started_job(page, client))
    assert job.model_version == "models/from-page/versions/1"
    assert job.spec.hyperparameters.max_steps == 3


def test_wrong_settings_are_told_at_their_field_and_nothing_is_lost(
    open_page: Open, tuned: registry_pb2.ModelVersion
) -> None:
    page = open_page("finetune", data=tuned.dataset_version, base=tuned.base_model, max_length="64")
    field(page, "number_input", "warmup_steps").set_value(5)
    field(page, "number_input", "lora_r").set_value(1000).run()
    at_the_field, where_one_starts = page.error
    assert at_the_field.value.startswith("値 1000 は")
    assert "spec.hyperparameters.lora_r" in where_one_starts.value
    field(page, "number_input", "lora_r").set_value(8)
    field(page, "text_input", "gpu").set_value("nothing").run()
    assert "hardware.gpu_model" in page.error[1].value
    field(page, "text_input", "gpu").set_value("")
    healthy(page.run())
    again = open_page("finetune", **{name: address(page, name) for name in page.query_params})
    kept = [field(again, "number_input", name).value for name in ("lora_r", "warmup_steps", "max_length")]
    assert kept == [8, 5, 64]


def test_a_link_to_data_that_are_gone_leaves_the_form(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("finetune", base=tuned.base_model)
    page.query_params["data"] = "datasets/nope/versions/9"
    assert [("nope" in error.value) for error in page.run().error] == [True]
    assert field(page, "selectbox", "data").value == tuned.dataset_version
    healthy(page.run())


def test_remedies_are_written_into_the_form(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("finetune", data=tuned.dataset_version, base=tuned.base_model)
    field(page, "text_input", "gpu").set_value("2x2GB")
    field(page, "number_input", "processes").set_value(4).run()
    assert [error.value.partition(":")[0] for error in page.error] == ["2 x 2 GB"]
    next(b for b in page.button if b.key == "remedy-0").click().run()
    assert field(page, "number_input", "processes").value == 2
    assert not healthy(page).error


def test_objectives_take_the_data_that_fit(open_page: Open, client: Client, tuned: registry_pb2.ModelVersion) -> None:
    preferences = client.datasets.upload(PREFERENCE_DATA, dataset="preferences")
    page = open_page("finetune", data=preferences.name, base=tuned.base_model)
    assert field(page, "radio", "objective").value == "dpo"
    assert field(page, "number_input", "beta") is not None
    healthy(field(page, "radio", "objective").set_value("sft").run())
    offered = field(page, "selectbox", "data").options
    assert not any(option.startswith(preferences.name) for option in offered)
    assert any("preferences" in line.value for line in page.markdown)


def test_training_goes_on_from_a_version(open_page: Open, client: Client, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("finetune", data=tuned.dataset_version, begin="version", start=tuned.name, max_steps="2")
    assert field(page, "selectbox", "method").options == ["LoRA", "QLoRA (4-bit)"]
    assert not any(widget.key == "draft-lora_r" for widget in page.number_input)
    job = client.training.cancel(started_job(page, client))
    assert (job.spec.start_from, job.spec.base_model) == (tuned.name, tuned.base_model)


@pytest.mark.parametrize("view", ["charts", "samples", "log", "timeline", "checkpoints", "settings"])
def test_job_page_tells_the_end_from_every_side(open_page: Open, tuned: registry_pb2.ModelVersion, view: str) -> None:
    page = open_page("job", name="first", view=view)
    assert any("ファインチューニング完了" in success.value and tuned.name in success.value for success in page.success)
    assert address(page, "view") == view
    if view == "samples":
        assert "数量を教えてください。" in [text.value for text in page.text]
        assert {"ベースモデル", "ステップ 30"} <= {caption.value for caption in page.caption}
    if view == "charts":
        assert {"損失", "学習率", "勾配ノルム", "メモリ (GiB)"} <= {caption.value for caption in page.caption}


def test_a_job_is_run_again_with_its_settings_filled_in(open_page: Open, tuned: registry_pb2.ModelVersion) -> None:
    page = open_page("finetune", job="first")
    filled = [field(page, "number_input", name).value for name in ("learning_rate", "max_steps", "max_length")]
    assert filled == [2e-3, 30, 160]
    assert field(page, "text_input", "model").value == "tuned"
    assert field(page, "text_area", "prompts").value == "数量を教えてください。"
    assert "job" not in page.query_params


def test_a_job_is_paused_resumed_and_cancelled_beside_its_siblings(
    open_page: Open, client: Client, tuned: registry_pb2.ModelVersion
) -> None:
    spec = client.training.spec(tuned.base_model, tuned.dataset_version, {"max_steps": 100_000, "max_length": 64})
    for job_id in ("runs", "waits"):  # the only worker has the first one, so that the other one can be moved at once
        client.training.create(spec, sweep="page", job_id=job_id)
    page = open_page("job", name="waits", view="sweep")
    assert any("/job?name=runs" in frame.value.to_csv() for frame in page.dataframe)
    states = []
    for label in ("一時停止", "再開", "ジョブを取り消す"):
        button(page, label)
        states.append(training_pb2.TrainingJobState.Name(client.training.get("waits").state).rpartition("_")[2])
        page.run()
    client.training.cancel("runs")
    assert states == ["PAUSED", "QUEUED", "CANCELLED"]
    assert any("取り消されました" in info.value for info in page.info)


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
