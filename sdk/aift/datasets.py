"""Data sets: sent, checked, kept as versions, looked at, fetched back, deleted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Unpack

import grpc

from aift.checks import MOST_ROWS, within
from aift.common.v1.blob_pb2 import FileEntry
from aift.data.v1 import data_pb2
from aift.data_jobs import InvalidDataError
from aift.dataset_catalogue import new_dataset
from aift.dataset_imports import DatasetImports
from aift.dataset_preparation import DatasetPreparation
from aift.errors import AiftError
from aift.names import qualified, request_id, slug, stem
from aift.progress import OnProgress, silent
from aift.reading import (
    BAD_ROWS,
    ENCODINGS,
    FORMATS,
    FORMS,
    TOOL_TURNS,
    TRAIN_ON,
    Reading,
    choice,
    form_of,
    read_options,
    train_on_of,
)
from aift.transfer import download
from aift.uploads import readable_file

__all__ = [
    "BAD_ROWS",
    "ENCODINGS",
    "FILES",
    "FORMATS",
    "FORMS",
    "TOOL_TURNS",
    "TRAIN_ON",
    "Datasets",
    "InvalidDataError",
]

FILES: Final = {"original": "original/", "canonical": "rows.parquet", "set-aside": "set-aside.jsonl"}
"""A version's files: the word → the path, or how it begins."""


class Datasets(DatasetImports, DatasetPreparation):
    """`client.datasets`."""

    def upload(
        self,
        path: str | Path,
        *,
        dataset: str | None = None,
        display_name: str = "",
        on_progress: OnProgress = silent,
        **reading: Unpack[Reading],
    ) -> data_pb2.DatasetVersion:
        """Sends a file, checks it and keeps it as the next version of a data set, which is made with its first one.

        dataset is "datasets/x" or "x"; without it the file's name gives the id. How rows are read is detected where
        it is left out (see aift.reading.Reading). Raises InvalidDataError with the report, else AiftError.
        """
        source = readable_file(path)
        name = stem(source.name)
        upload = self._uploads.send(source, on_progress=on_progress)
        job = self.validate(dataset or slug(name), upload.name, new=display_name or name, **reading)
        return self.version(self.wait(job.name, on_progress=on_progress).dataset_version)

    def from_texts(
        self, texts: Iterable[str], *, dataset: str | None = None, display_name: str = "", train_on: str | None = None
    ) -> data_pb2.DatasetVersion:
        """Keeps strings as the rows of a version, in the form {"text": …}. Errors as of upload."""
        with tempfile.TemporaryDirectory(prefix="aift-") as directory:
            path = Path(directory) / "texts.jsonl"
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in texts)
            return self.upload(
                path, dataset=dataset or "texts", display_name=display_name, form="text", train_on=train_on
            )

    def validate(
        self, dataset: str, upload: str, *, new: str | None = None, **reading: Unpack[Reading]
    ) -> data_pb2.DataJob:
        """Starts checking a finalised upload; see `wait`.

        A missing data set is made with its first version where `new` is given, which is its display name; an empty
        `dataset` then gets an id.
        """
        request = data_pb2.ValidateDatasetRequest(
            dataset=qualified("datasets", dataset) if dataset else "",
            new_dataset=new_dataset(new),
            upload=qualified("uploads", upload),
            form=form_of(reading),
            train_on=train_on_of(reading),
            read=read_options(reading),
            request_id=request_id(),
        )
        return self._connection.call("data", self._stub.ValidateDataset, request)

    def preview(self, name: str, *, offset: int = 0, limit: int = 20) -> data_pb2.PreviewRowsResponse:
        """Rows of a version from `offset`, at most 100, with what the model is shown and what it learns."""
        request = data_pb2.PreviewRowsRequest(
            name=qualified("datasets", name),
            offset=within("offset", offset, 0, MOST_ROWS),
            limit=within("limit", limit, 0, 100),
        )
        return self._connection.call("data", self._stub.PreviewRows, request)

    def download(
        self, name: str, target: str | Path, *, file: str = "original", on_progress: OnProgress = silent
    ) -> Path:
        """Fetches a file of a version; into a folder under the name it was sent with.

        file is "original", "canonical" (rows.parquet) or "set-aside" (bad rows, each with its line and reason).
        Raises AiftError, NO_SUCH_FILE where the version has none of the kind.
        """
        version = self.version(name)
        found = file_of(version, file)
        path = Path(target).expanduser()
        if path.is_dir():
            path /= download_name(version, file)
        download(
            lambda offset: self.read(version.name, found.path, offset),
            path,
            size_bytes=found.size_bytes,
            sha256=found.sha256,
            patience_s=self._connection.patience_s,
            on_progress=on_progress,
        )
        return path

    def read(self, version: str, path: str = "", offset: int = 0) -> Iterator[bytes]:
        """The bytes of a version's file from an offset, in one stream; the original without a path."""
        request = data_pb2.ReadDatasetRequest(name=version, path=path, offset_bytes=offset)
        for message in self._connection.stream("data", self._stub.ReadDataset, request):
            yield message.data


def file_of(version: data_pb2.DatasetVersion, file: str) -> FileEntry:
    """The entry of a version's file by its word in FILES. Raises AiftError NO_SUCH_FILE or UNKNOWN_VALUE."""
    begin = list(FILES.values())[choice("file", file, {word: index for index, word in enumerate(FILES)}, 0)]
    for entry in version.files:
        if entry.path.startswith(begin):
            return entry
    en = f"{version.name} has no {begin}."
    raise AiftError("NO_SUCH_FILE", grpc.StatusCode.NOT_FOUND, en, f"{version.name} に {begin} はありません。")


def download_name(version: data_pb2.DatasetVersion, file: str) -> str:
    """What a downloaded file is called."""
    if file == "original":
        return Path(version.filename).name or "data.jsonl"
    ending = "parquet" if file == "canonical" else "set-aside.jsonl"
    return f"{stem(version.filename) or 'data'}.{ending}"
