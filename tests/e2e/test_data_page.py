"""The data page on a running system: files in, reports, versions from every side, preparation, deletion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aift import Client
from aift.data.v1 import data_pb2
from aift.registry.v1 import registry_pb2
from streamlit.testing.v1 import AppTest

from tests.e2e.conftest import Open, button, healthy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]

ROWS = [{"instruction": f"{n}番の色は？", "response": f"ｱｵ{n}です。連絡先 a{n}@example.com"} for n in range(40)]
WrittenRows = Callable[[str, list[dict[str, str]]], Path]


@pytest.fixture
def written(tmp_path: Path) -> WrittenRows:
    """``written("name.jsonl", rows)`` is a file with the rows."""

    def write(name: str, rows: list[dict[str, str]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def version(client: Client, written: WrittenRows, request: pytest.FixtureRequest) -> data_pb2.DatasetVersion:
    """A version with 40 rows of a data set of the test's own."""
    name = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")[:60].strip("-")
    return client.datasets.upload(written("rows.jsonl", ROWS), dataset=name)


def page_of(open_page: Open, version: data_pb2.DatasetVersion, view: str, **query: str) -> AppTest:
    _, dataset, _, number = version.name.split("/")
    return open_page("data", dataset=dataset, version=number, view=view, **query)


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def html(page: AppTest) -> str:
    return "".join(element.proto.body for element in page.get("html"))


def job_of(page: AppTest) -> str:
    job = page.query_params["job"]
    return job if isinstance(job, str) else job[0]


def test_rows_and_report(open_page: Open, version: data_pb2.DatasetVersion) -> None:
    page = page_of(open_page, version, "rows")
    frames = [frame.value for frame in page.dataframe]
    assert any("prompt" in frame.columns and len(frame) == 20 for frame in frames)
    assert metrics(page_of(open_page, version, "report"))["正しい行"] == "40"


def test_a_sent_file_is_checked(open_page: Open, client: Client, written: WrittenRows) -> None:
    sent = client.uploads.send(written("page-sent.jsonl", ROWS))
    page = open_page("data", upload=sent.name)
    button(page, "検証する")
    client.datasets.wait(job_of(page))
    assert any("アップロード完了" in success.value for success in healthy(page.run()).success)
    assert client.datasets.version("datasets/page-sent/versions/1").statistics.rows == 40


def test_several_jobs_are_a_line_each(open_page: Open, client: Client, written: WrittenRows) -> None:
    sent = [client.uploads.send(written(name, ROWS)) for name in ("page-one.jsonl", "page-two.jsonl")]
    jobs = [client.datasets.validate(upload.filename[:8], upload.name, new="") for upload in sent]
    versions = [client.datasets.wait(job.name).dataset_version for job in jobs]
    page = open_page("data", job=[job.name.removeprefix("dataJobs/") for job in jobs])
    assert [success.value for success in page.success] == [f"{version} · 40 行" for version in versions]
    next(b for b in page.button if b.key == f"line-{jobs[1].name}").click().run()
    assert job_of(healthy(page)) == jobs[1].name.removeprefix("dataJobs/")


def test_a_refused_file_is_checked_again_in_another_way(open_page: Open, client: Client, written: WrittenRows) -> None:
    sent = client.uploads.send(written("page-again.jsonl", [*ROWS, {"instruction": "x", "response": ""}]))
    page = open_page("data", upload=sent.name)
    next(b for b in page.button if b.label == "検証する").click().run()  # it may show the refusal already
    first = client.datasets.job(job_of(page))
    while first.state in (data_pb2.DATA_JOB_STATE_QUEUED, data_pb2.DATA_JOB_STATE_RUNNING):
        first = client.datasets.job(first.name)
    page.run()
    assert page.error
    next(box for box in page.selectbox if box.key == "again-bad-rows").select("set-aside")
    next(b for b in page.button if b.label == "検証し直す").click().run()
    assert job_of(page) != first.name.removeprefix("dataJobs/")
    client.datasets.wait(job_of(page))
    assert metrics(healthy(page.run()))["取り分けた行"] == "1"


def test_trained_tokens_are_marked(
    open_page: Open, version: data_pb2.DatasetVersion, base_model: registry_pb2.BaseModel
) -> None:
    page = page_of(open_page, version, "supervision", base=base_model.name)
    shown = html(page)
    assert "<mark" in shown
    assert "番の色は" in shown.replace("</mark>", "")
    assert metrics(page)["学習されるトークン"].endswith("%")


def test_tokens_are_counted(
    open_page: Open, client: Client, version: data_pb2.DatasetVersion, base_model: registry_pb2.BaseModel
) -> None:
    page = page_of(open_page, version, "tokens", base=base_model.name)
    button(page, "トークンを計数する")
    client.datasets.wait(job_of(page))
    assert int(metrics(healthy(page.run()))["トークン数"].replace(",", "")) > 40


def test_preparation_with_before_and_after(open_page: Open, client: Client, version: data_pb2.DatasetVersion) -> None:
    page = page_of(open_page, version, "preparation")
    next(box for box in page.selectbox if box.key == "prepare-normalize").select("halfwidth-kana")
    page.multiselect[0].select("emails")
    healthy(page.run())
    address = dict(page.query_params)
    again = open_page("data", **address)
    assert next(box for box in again.selectbox if box.key == "prepare-normalize").value == "halfwidth-kana"
    assert again.multiselect[0].value == ["emails"]
    button(page, "プレビュー")
    assert metrics(page)["変更"] == "40 / 40"
    assert "<ins" in html(page)
    button(page, "前処理を開始")
    done = client.datasets.wait(job_of(page))
    assert any("前処理完了" in success.value for success in healthy(page.run()).success)
    (row,) = client.datasets.preview(done.dataset_version, limit=1).rows
    assert row.completion == "アオ0です。連絡先 [EMAIL]"

    made = client.datasets.version(done.dataset_version)
    seen = metrics(page_of(open_page, made, "differences"))
    assert (seen["変更"], seen["変更なし"]) == ("40", "0")


def test_deleting_shows_what_depends_on_it(open_page: Open, client: Client, version: data_pb2.DatasetVersion) -> None:
    prepared = client.datasets.prepare(version.name, dataset="depends-on-it", normalize="nfkc")
    page = page_of(open_page, version, "files")
    assert any(prepared.dataset_version in frame.value.to_csv() for frame in page.dataframe)
    delete = f"delete-{version.name}"
    assert next(b for b in page.button if b.key == delete).disabled
    next(box for box in page.checkbox if box.key == f"force-{version.name}").check().run()
    healthy(next(b for b in page.button if b.key == delete).click().run())
    assert list(client.datasets.versions(version.name.partition("/versions/")[0])) == []


def test_a_data_set_is_called_otherwise(open_page: Open, client: Client, version: data_pb2.DatasetVersion) -> None:
    dataset = version.name.rpartition("/versions/")[0]
    page = page_of(open_page, version, "rows")
    page.text_input(key=f"display-name-{dataset}").set_value("色の質問")
    page.text_area(key=f"description-{dataset}").set_value("色を尋ねる 40 行")
    button(page, "保存する")
    found = client.datasets.get(dataset)
    assert (found.display_name, found.description) == ("色の質問", "色を尋ねる 40 行")
    assert "色を尋ねる 40 行" in [caption.value for caption in page.caption]


def test_a_split_has_its_salt(open_page: Open, version: data_pb2.DatasetVersion) -> None:
    recipe = {"split": {"test_share": 0.25, "salt": "b"}}
    page = page_of(open_page, version, "preparation", recipe=json.dumps(recipe))
    assert page.text_input(key="split-salt").value == "b"
    page.text_input(key="split-salt").set_value("c")
    healthy(page.run())
    assert '"salt":"c"' in str(page.query_params["recipe"])


def test_a_data_set_that_is_not_there_is_told(open_page: Open, version: data_pb2.DatasetVersion) -> None:
    page = open_page("data", dataset="nowhere", version="7")
    assert any("datasets/nowhere は存在しません" in warning.value for warning in page.warning)
