"""Data: upload, report, versions and their rows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st
from aift import AiftError, Progress
from aift.data.v1 import data_pb2
from aift.datasets import FORMS, TRAIN_ON
from streamlit.runtime.uploaded_file_manager import UploadedFile

from frontend import wording
from frontend.session import localized, problems_shown, say, show_problem, signed_in_client

_ROWS = 20
_RUNNING = (data_pb2.DATA_JOB_STATE_QUEUED, data_pb2.DATA_JOB_STATE_RUNNING)


def show() -> None:
    """The page. The address names the check (?job=) or the data set (?dataset=) that is looked at."""
    st.title(say("データ", "Data"))
    _upload()
    job = st.query_params.get("job")
    if job:
        _check(job)
    with problems_shown():
        _datasets()


def _upload() -> None:
    st.subheader(say("トレーニングデータのアップロード", "Upload training data"))
    st.caption(
        say(
            'JSONL形式（1行に1件）: {"text": "質問: …\\n回答: …"}、{"instruction": …, "response": …}、{"messages": […]}。'
            "最低100件、推奨1,000件以上。大きなファイルは `aift data upload` が速く、途中から再開できます。",
            'JSONL, one object a line: {"text": "質問: …\\n回答: …"}, {"instruction": …, "response": …} or '
            '{"messages": […]}. At least 100 rows, better 1,000. Use `aift data upload` for large files: it resumes.',
        )
    )
    with st.form("upload", border=True):
        file = st.file_uploader(say("ファイルを選択", "Choose a file"), type=["jsonl", "json", "txt"])
        left, middle, right = st.columns(3)
        dataset = left.text_input(
            say("データセット ID", "Data set id"),
            help=say(
                "空ならファイル名から決めます。既にあれば次の版になります。",
                "Empty: from the file's name. An existing one gets the next version.",
            ),
        )
        detect = say("自動判別", "detect")
        form = middle.selectbox(say("行の形式", "Form of the rows"), [detect, *FORMS])
        train_on = right.selectbox(say("学習する部分", "Trained part"), [detect, *TRAIN_ON])
        if st.form_submit_button(say("アップロード", "Upload"), type="primary") and file is not None:
            with problems_shown():
                choices = {"form": form, "train_on": train_on}
                _send(file, dataset, {name: value for name, value in choices.items() if value != detect})


def _send(file: UploadedFile, dataset: str, choices: dict[str, str]) -> None:
    bar = st.progress(0.0, text=file.name)

    def progress(step: Progress) -> None:
        bar.progress(min(step.done / step.total, 1.0) if step.total else 0.0, text=file.name)

    client = signed_in_client()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(file.name).name
        path.write_bytes(file.getbuffer())
        upload = client.uploads.send(path, on_progress=progress)
    owner = client.datasets.create_or_get(dataset or _id_of(file.name), display_name=dataset or Path(file.name).stem)
    job = client.datasets.validate(owner.name, upload.name, form=choices.get("form"), train_on=choices.get("train_on"))
    st.query_params["job"] = job.name.removeprefix("dataJobs/")
    st.rerun()


def _id_of(filename: str) -> str:
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in Path(filename).stem.lower()).strip("-")
    return kept[:63].strip("-") or "data"


@st.fragment(run_every=1)
def _check(name: str) -> None:
    with problems_shown():
        job = signed_in_client().datasets.job(name)
        if job.state in _RUNNING:
            share = job.done_bytes / job.total_bytes if job.total_bytes else 0.0
            st.progress(min(share, 1.0), text=say(f"検証中: {job.rows:,} 行", f"Checking: {job.rows:,} rows"))
            if st.button(say("取り消す", "Cancel")):
                signed_in_client().datasets.cancel_job(name)
            return
        if job.state == data_pb2.DATA_JOB_STATE_SUCCEEDED:
            st.success(
                say(f"アップロード完了: {job.dataset_version}", f"Upload complete: {job.dataset_version}"),
                icon=":material/check:",
            )
            st.page_link(
                "pages/finetune.py",
                label=say("このデータでファインチューニング", "Fine-tune with it"),
                icon=":material/tune:",
                query_params={"data": job.dataset_version},
            )
        elif job.state == data_pb2.DATA_JOB_STATE_FAILED:
            st.error(localized(job.failure.message), icon=":material/error:")
        _report(job.name)


def _report(name: str) -> None:
    try:
        report = signed_in_client().datasets.report(name)
    except AiftError as error:
        show_problem(error)
        return
    rows, valid, duplicates, median = st.columns(4)
    rows.metric(say("行数", "Rows"), f"{report.rows:,}")
    valid.metric(say("正しい行", "Valid rows"), f"{report.valid_rows:,}")
    duplicates.metric(say("重複行", "Duplicate rows"), f"{report.statistics.duplicate_rows:,}")
    median.metric(say("文字数の中央値", "Median characters"), f"{report.statistics.median_characters:,}")
    st.caption(localized(report.template.evidence))
    for finding in report.findings:
        bad = finding.severity == data_pb2.SEVERITY_ERROR
        with st.expander(f"{'❌' if bad else '⚠️'} {finding.reason} × {finding.count:,}", expanded=bad):
            st.write(localized(finding.message))
            st.dataframe(
                [{"line": e.line, "column": e.column, "field": e.field, "text": e.excerpt} for e in finding.examples],
                hide_index=True,
            )
    if report.statistics.histogram_counts:
        st.caption(say("長さの分布（文字）", "Lengths in characters"))
        bounds = [f"< {bound:,}" for bound in report.statistics.histogram_bounds]
        bounds += [""] * (len(report.statistics.histogram_counts) - len(bounds))
        counts = [{"characters": b, "rows": c} for b, c in zip(bounds, report.statistics.histogram_counts, strict=True)]
        st.bar_chart(counts, x="characters", y="rows", sort=False, height=220)


def _datasets() -> None:
    st.subheader(say("データセット", "Data sets"))
    datasets = list(signed_in_client().datasets.list())
    if not datasets:
        st.caption(
            say(
                "まだデータはありません。samples/data/ に試せるファイルがあります。",
                "None yet; samples/data/ has files to try.",
            )
        )
        return
    names = [dataset.name.removeprefix("datasets/") for dataset in datasets]
    asked = st.query_params.get("dataset", names[0])
    chosen = st.selectbox(
        say("データセット", "Data set"), names, index=names.index(asked) if asked in names else 0, key="dataset"
    )
    st.query_params["dataset"] = chosen
    _versions(datasets[names.index(chosen)])


def _versions(dataset: data_pb2.Dataset) -> None:
    versions = list(signed_in_client().datasets.versions(dataset.name))
    st.dataframe(
        [
            {
                "version": version.name.rpartition("/")[2],
                "file": version.filename,
                "rows": version.statistics.rows,
                "size": wording.size(version.size_bytes),
                "created": wording.when(version.create_time),
                "sha256": version.sha256[:12],
            }
            for version in versions
        ],
        hide_index=True,
    )
    if versions:
        _rows(versions)
    with st.popover(say("削除", "Delete")):
        st.write(say("すべての版を削除します。", "All versions are deleted."))
        if st.button(say("削除する", "Delete it"), type="primary"):
            signed_in_client().datasets.delete(dataset.name)
            st.query_params.pop("dataset", None)
            st.rerun()


def _rows(versions: list[data_pb2.DatasetVersion]) -> None:
    left, right = st.columns(2)
    numbers = [version.name.rpartition("/")[2] for version in versions]
    version = versions[numbers.index(left.selectbox(say("版", "Version"), numbers))]
    last = max(version.statistics.rows - 1, 0)
    offset = right.number_input(say("最初の行", "First row"), 0, last, 0, step=_ROWS)
    preview = signed_in_client().datasets.preview(version.name, offset=int(offset), limit=_ROWS)
    st.dataframe(
        [{"line": row.line, "prompt": row.prompt, "completion": row.completion} for row in preview.rows],
        hide_index=True,
    )
    with st.expander(say("検証レポート", "Validation report")):
        _report(version.name)


show()
