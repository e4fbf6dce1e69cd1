"""The files of a model: which of a folder are sent, and how they come back."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import grpc

from aift.common.v1 import blob_pb2
from aift.connection import Connection
from aift.errors import AiftError, invalid
from aift.progress import OnProgress, Progress, silent
from aift.registry.v1 import registry_pb2
from aift.transfer import download
from aift.uploads import Uploads

# What a model consists of; weights in pickles and code are never sent.
_SUFFIXES = frozenset({".json", ".safetensors", ".jinja", ".model", ".txt", ".tiktoken", ".md"})
# By these a folder is loaded as a model; those of two models in one folder make neither.
_LOADED_BY = ("*.safetensors", "config.json", "adapter_config.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def model_files(directory: Path) -> list[Path]:
    """The files of a folder that make a model, without those of subfolders. Raises AiftError naming what is missing."""
    if not directory.is_dir():
        raise invalid(
            "path", "DIRECTORY_NOT_FOUND", f"There is no folder {directory}.", f"フォルダ {directory} がありません。"
        )
    files = sorted(path for path in directory.iterdir() if path.is_file() and _belongs(path))
    if not any(path.suffix == ".safetensors" for path in files):
        raise _without_weights(directory)
    return files


def check_room(directory: Path, files: Sequence[blob_pb2.FileEntry] = ()) -> None:
    """Makes the folder where it is not there. Raises AiftError NOT_WRITABLE, or OTHER_MODEL where it holds a model that is
    not the one of these files."""
    entries = {entry.path: entry for entry in files}
    folder = directory.expanduser()
    _check_writable(folder)
    for path in sorted(found for pattern in _LOADED_BY for found in folder.glob(pattern)):
        if path.name not in entries or not _is(path, entries[path.name]):
            raise invalid(
                "directory",
                "OTHER_MODEL",
                f"The folder {directory} holds another model ({path.name}); choose an empty one.",
                f"フォルダ {directory} には別のモデル ({path.name}) があります。空のフォルダを指定してください。",
            )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        why = "" if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        why = error.strerror or type(error).__name__
    if why:
        raise invalid(
            "directory",
            "NOT_WRITABLE",
            f"The folder {folder} cannot be written to ({why}); choose another.",
            f"フォルダ {folder} に書き込めません ({why})。別のフォルダを指定してください。",
        )


def send_directory(
    uploads: Uploads, directory: Path, *, on_progress: OnProgress = silent
) -> list[blob_pb2.UploadedFile]:
    """Sends the files of a model's folder; progress counts the bytes of all of them."""
    files = model_files(directory)
    total = sum(path.stat().st_size for path in files)
    sent: list[blob_pb2.UploadedFile] = []
    before = 0
    for path in files:
        tell = _shifted(on_progress, before, total)
        upload = uploads.send(path, on_progress=tell)
        sent.append(blob_pb2.UploadedFile(path=path.name, upload=upload.name))
        before += path.stat().st_size
    return sent


class Files:
    """Reads files of base models and versions from the registry."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def download(
        self, name: str, files: Iterable[blob_pb2.FileEntry], directory: Path, *, on_progress: OnProgress
    ) -> Path:
        """Writes the files into a folder, which is made where it is missing. Raises AiftError, OTHER_MODEL among them."""
        entries = list(files)
        check_room(directory, entries)
        total = sum(entry.size_bytes for entry in entries)
        target = directory.expanduser()
        target.mkdir(parents=True, exist_ok=True)
        before = 0
        for entry in entries:
            download(
                lambda offset, path=entry.path: self._read(name, path, offset),  # type: ignore[misc]
                target / _inside(entry.path),
                size_bytes=entry.size_bytes,
                sha256=entry.sha256,
                patience_s=self._connection.patience_s,
                on_progress=_shifted(on_progress, before, total),
            )
            before += entry.size_bytes
        return target

    def _read(self, name: str, path: str, offset: int) -> Iterator[bytes]:
        request = registry_pb2.ReadModelFileRequest(name=name, path=path, offset_bytes=offset)
        stub = self._connection.registry
        for message in self._connection.stream("registry", stub.ReadModelFile, request):
            yield message.data


def _belongs(path: Path) -> bool:
    return not path.name.startswith(".") and (path.suffix in _SUFFIXES or path.name.upper().startswith("LICENSE"))


def _is(path: Path, entry: blob_pb2.FileEntry) -> bool:
    if path.stat().st_size != entry.size_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256


def _inside(path: str) -> PurePosixPath:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        message = f"The registry names a file outside of the model's folder: {path!r}"
        raise AiftError(
            "UNSAFE_PATH", grpc.StatusCode.DATA_LOSS, message, f"モデルのフォルダの外を指すファイル名です: {path!r}"
        )
    return relative


def _shifted(on_progress: OnProgress, before: int, total: int) -> OnProgress:
    def tell(progress: Progress) -> None:
        on_progress(Progress(stage=progress.stage, what=progress.what, done=before + progress.done, total=total))

    return tell


def _without_weights(directory: Path) -> AiftError:
    if any(next(directory.glob(pattern), None) for pattern in _PICKLES):
        return invalid(
            "path",
            "PICKLED_WEIGHTS",
            f"{directory} holds pickled weights only, which can run code. Save them as safetensors: "
            "model.save_pretrained(folder, safe_serialization=True)",
            f"{directory} には pickle 形式の重みしかありません(コードを実行できる形式です)。safetensors で保存し直してください: "
            "model.save_pretrained(folder, safe_serialization=True)",
        )
    return invalid(
        "path",
        "WEIGHTS_MISSING",
        f"{directory} holds no *.safetensors file.",
        f"{directory} に *.safetensors ファイルがありません。",
    )
