"""Files on their way in: from this computer, the server's drop directory, a URL, the Hub, S3."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import streamlit as st
from aift.data.v1 import data_pb2
from aift.names import slug, stem
from aift.reading import Reading

from frontend import wording
from frontend.data.reading import reading_options
from frontend.session import literal, problems_shown, say, signed_in_client
from frontend.uploader import SentFile, file_chooser

_SOURCES = ("upload", "drop", "url", "hub", "s3")
_SHOWN_DROPPED = 200


def show_intake() -> None:
    """Where from, which data set, how to read it, and the button that begins."""
    st.subheader(say("トレーニングデータのアップロード", "Upload training data"))
    st.caption(
        say(
            'JSONL（1行に1件: {"text": "質問: …\\n回答: …"}、{"instruction": …, "response": …}、{"messages": […]} など）、'
            "JSON、CSV、TSV、Parquet、テキスト。gzip・zstd も可。最低100件、推奨1,000件以上。",
            'JSONL (one object a line: {"text": "質問: …\\n回答: …"}, {"instruction": …, "response": …}, '
            '{"messages": […]} …), JSON, CSV, TSV, Parquet, text; also gzip and zstd. At least 100 rows, better 1,000.',
        )
    )
    with st.container(border=True):
        words = {
            "upload": say("このコンピューター", "This computer"),
            "drop": say("サーバーのフォルダ", "Drop directory"),
            "url": "URL",
            "hub": "Hugging Face Hub",
            "s3": "S3",
        }
        source = st.segmented_control(
            say("取り込み元", "From"),
            _SOURCES,
            default="upload",
            format_func=lambda word: words[word],
            key="source",
            required=True,
        )
        dataset = st.text_input(
            say("データセット ID", "Data set id"),
            help=say(
                "空ならファイル名から決めます。既にあれば次の版になります。",
                "Empty: from the file's name. An existing one gets the next version.",
            ),
            key="intake-dataset",
        )
        with st.expander(say("読み取りの設定（省略時は自動判別）", "How it is read (detected unless you say)")):
            reading = reading_options("intake")
        with problems_shown():
            _FROM[source](dataset.strip(), reading)


def check(sent: Sequence[SentFile], dataset: str, reading: Reading) -> None:
    """Starts the check of each file that was sent, and shows them."""
    datasets = signed_in_client().datasets
    names = [stem(file.filename) for file in sent]
    follow(
        *(
            datasets.validate(dataset or slug(name), file.upload, new=name, **reading)
            for file, name in zip(sent, names, strict=True)
        )
    )


def follow(*jobs: data_pb2.DataJob) -> None:
    """Puts data jobs into the address and shows them."""
    st.query_params["job"] = [job.name.removeprefix("dataJobs/") for job in jobs]
    st.query_params.pop("upload", None)
    st.rerun()


def _from_computer(dataset: str, reading: Reading) -> None:
    sent = file_chooser("file-chooser")
    if sent:
        check(sent, dataset, reading)
    waiting = st.query_params.get("upload")
    if waiting:
        upload = signed_in_client().uploads.get(waiting)
        st.write(say("送信済み: ", "Sent: ") + literal(upload.filename))
        if st.button(say("検証する", "Check it"), type="primary"):
            check([SentFile(upload=upload.name, filename=upload.filename)], dataset, reading)


def _from_drop(dataset: str, reading: Reading) -> None:
    files = list(islice(signed_in_client().datasets.dropped_files(), _SHOWN_DROPPED))
    if not files:
        st.caption(
            say(
                "サーバーの受け取りフォルダは空です。ファイルをコピーすると、ここに表示されます。",
                "The server's drop directory is empty. What is copied there is shown here.",
            )
        )
        return
    names = [file.name for file in files]
    chosen = st.selectbox(
        say("ファイル", "File"), names, format_func=lambda name: _dropped(files[names.index(name)]), key="dropped"
    )
    if _begin():
        _start(dataset, chosen, reading, dropped_file=chosen)


def _from_url(dataset: str, reading: Reading) -> None:
    url = st.text_input(
        "URL",
        placeholder="https://example.com/data.jsonl",
        help=say("管理者が許可したホストだけを使えます。", "Only of hosts that an administrator allowed."),
        key="url",
    )
    if _begin(ready=bool(url)):
        _start(dataset, url.partition("?")[0], reading, url=url.strip())


def _from_hub(dataset: str, reading: Reading) -> None:
    left, middle, right = st.columns(3)
    hub_id = left.text_input("ID", placeholder="kunishou/databricks-dolly-15k-ja", key="hub-id")
    revision = middle.text_input(say("リビジョン", "Revision"), placeholder="main", key="hub-revision")
    path = right.text_input(say("ファイル", "File"), placeholder="data/train.parquet", key="hub-path")
    if _begin(ready=bool(hub_id)):
        hub = data_pb2.HubDataset(id=hub_id.strip(), revision=revision.strip(), path=path.strip())
        _start(dataset, hub_id, reading, hub=hub)


def _from_s3(dataset: str, reading: Reading) -> None:
    uri = st.text_input("URI", placeholder="s3://bucket/key.jsonl", key="s3-uri")
    if _begin(ready=bool(uri)):
        _start(dataset, uri, reading, s3_uri=uri.strip())


_FROM = {"upload": _from_computer, "drop": _from_drop, "url": _from_url, "hub": _from_hub, "s3": _from_s3}


def _begin(*, ready: bool = True) -> bool:
    return st.button(say("取り込む", "Import"), type="primary", disabled=not ready)


def _start(
    dataset: str,
    source: str,
    reading: Reading,
    *,
    dropped_file: str | None = None,
    url: str | None = None,
    s3_uri: str | None = None,
    hub: data_pb2.HubDataset | None = None,
) -> None:
    client = signed_in_client()
    name = stem(source)
    follow(
        client.datasets.start_import(
            dataset or slug(name), new=name, dropped_file=dropped_file, url=url, s3_uri=s3_uri, hub=hub, **reading
        )
    )


def _dropped(file: data_pb2.DroppedFile) -> str:
    count = say(f"{file.files:,} ファイル", f"{file.files:,} files") + " · " if file.files > 1 else ""
    state = "" if file.settled else say(" · 書き込み中", " · being written")
    return f"{file.name} · {count}{wording.size(file.size_bytes)} · {wording.when(file.update_time)}{state}"
