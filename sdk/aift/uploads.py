"""Files on their way in: sent in chunks, resumed where the service has them safe."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from aift.connection import Connection, Patience, is_broken_stream
from aift.data.v1 import data_pb2
from aift.errors import AiftError, invalid
from aift.names import qualified, request_id
from aift.progress import OnProgress, Progress, silent
from aift.transfer import HashedFile

_BROKEN_PATIENCE_S = 60.0
_FINALIZE_S = 600.0
_SLOWEST_DISK_BYTES_S = 20e6  # read and written once
_PROGRESS_EVERY_S = 0.1


class Uploads:
    """`client.uploads`: files sent to the data service, for data sets and for models alike."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(
        self,
        path: str | Path,
        *,
        filename: str | None = None,
        resume: str | None = None,
        on_progress: OnProgress = silent,
        on_created: Callable[[data_pb2.Upload], None] | None = None,
    ) -> data_pb2.Upload:
        """Sends a file and finalises it; a broken stream goes on from what the service has.

        resume names an earlier upload of the same file ("uploads/…") to go on with. on_created is told the upload
        as soon as it has a name. on_progress is called in the calling thread. Raises AiftError, FILE_NOT_FOUND and,
        where resume is of other bytes, OTHER_FILE among them.
        """
        source = readable_file(path)
        size = source.stat().st_size
        upload = self.get(resume) if resume else self.create(filename or source.name, size)
        if on_created:
            on_created(upload)
        if upload.size_bytes not in (0, size) or upload.committed_bytes > size:
            raise _other_file(source, upload)
        with source.open("rb") as file:
            hashed = HashedFile(file)
            if upload.state == data_pb2.UPLOAD_STATE_FINALIZED:
                if hashed.sha256(size) != upload.sha256:
                    raise _other_file(source, upload)
                return upload
            self._write(upload, hashed, size, on_progress)
            return self.finalize(upload.name, sha256=hashed.sha256(size), size_bytes=size)

    def create(self, filename: str, size_bytes: int = 0) -> data_pb2.Upload:
        """Begins an upload; size_bytes 0 means not known yet."""
        return self._connection.call(
            "data",
            self._connection.data.CreateUpload,
            data_pb2.CreateUploadRequest(filename=filename[-255:], size_bytes=size_bytes, request_id=request_id()),
        )

    def get(self, name: str) -> data_pb2.Upload:
        """An upload, with the bytes that are safe."""
        request = data_pb2.GetUploadRequest(name=qualified("uploads", name))
        return self._connection.call("data", self._connection.data.GetUpload, request)

    def write(self, name: str, chunks: Iterator[tuple[int, bytes]]) -> data_pb2.Upload:
        """Sends (offset, bytes) pieces in one stream, each at most 1 MiB; for callers that are fed themselves."""
        call_id = uuid.uuid4().hex
        requests = _requests(qualified("uploads", name), chunks)
        try:
            return self._connection.data.WriteUpload(requests, metadata=self._connection.metadata(call_id))
        except grpc.RpcError as error:
            raise self._connection.failure(error, request_id=call_id, service="data") from error

    def finalize(self, name: str, *, sha256: str = "", size_bytes: int = 0) -> data_pb2.Upload:
        """Closes an upload; its digest is compared when given.

        Large files take the service a while: size_bytes tells how long to wait. After DEADLINE_EXCEEDED the service
        works on, and another call waits for the same work.
        """
        return self._connection.call(
            "data",
            self._connection.data.FinalizeUpload,
            data_pb2.FinalizeUploadRequest(name=qualified("uploads", name), sha256=sha256),
            timeout_s=_FINALIZE_S + size_bytes / _SLOWEST_DISK_BYTES_S,
        )

    def _write(self, upload: data_pb2.Upload, source: HashedFile, size: int, on_progress: OnProgress) -> None:
        patience = Patience(max(_BROKEN_PATIENCE_S, self._connection.patience_s))
        committed = upload.committed_bytes
        while committed < size:
            try:
                self._stream(upload, source, committed, size, on_progress)
                if source.position < size:
                    raise _file_changed(upload.filename)
            except AiftError as error:
                patience.wait(error, _goes_on)
            now = self.get(upload.name).committed_bytes
            if now > committed:
                patience.renew()
            committed = now
        on_progress(Progress(stage="uploading", what=upload.filename, done=size, total=size))

    def _stream(
        self, upload: data_pb2.Upload, source: HashedFile, offset: int, size: int, on_progress: OnProgress
    ) -> None:
        call_id = uuid.uuid4().hex
        requests = _requests(upload.name, source.chunks(offset, size))
        call = self._connection.data.WriteUpload.future(requests, metadata=self._connection.metadata(call_id))
        try:
            while True:
                on_progress(Progress(stage="uploading", what=upload.filename, done=source.position, total=size))
                try:
                    call.result(timeout=_PROGRESS_EVERY_S)
                except grpc.FutureTimeoutError:
                    continue
                return
        except grpc.RpcError as error:
            raise self._connection.failure(error, request_id=call_id, service="data") from error
        finally:
            call.cancel()


def readable_file(path: str | Path) -> Path:
    """The path of a file that is there. Raises AiftError FILE_NOT_FOUND or NOT_A_FILE."""
    source = Path(path).expanduser()
    if source.is_file():
        return source
    if source.exists():
        en = (
            f"{source} is no file. Name its files one by one, or let the server take a folder: aift data import --drop."
        )
        ja = (
            f"{source} はファイルではありません。中のファイルを指定するか、フォルダのままサーバーに取り込んでください"
            "（aift data import --drop）。"
        )
        raise invalid("path", "NOT_A_FILE", en, ja)
    raise invalid("path", "FILE_NOT_FOUND", f"There is no file {source}.", f"ファイル {source} がありません。")


def _requests(name: str, chunks: Iterator[tuple[int, bytes]]) -> Iterator[data_pb2.WriteUploadRequest]:
    for offset, data in chunks:
        yield data_pb2.WriteUploadRequest(name=name, offset_bytes=offset, data=data)


def _goes_on(error: AiftError) -> bool:
    # OUT_OF_RANGE only says that the service has another offset than we thought; asking it mends that.
    return is_broken_stream(error) or error.code is grpc.StatusCode.OUT_OF_RANGE


def _other_file(source: Path, upload: data_pb2.Upload) -> AiftError:
    en = (
        f"{upload.name} is of {upload.filename}, and {source.name} has other bytes. Leave --resume out to send it anew."
    )
    ja = f"{upload.name} は {upload.filename} の送信で、{source.name} とは内容が違います。--resume なしで送信してください。"
    return invalid("resume", "OTHER_FILE", en, ja)


def _file_changed(filename: str) -> AiftError:
    en = f"{filename} became shorter while it was being sent."
    return invalid("path", "FILE_CHANGED", en, f"{filename} が送信中に短くなりました。")
