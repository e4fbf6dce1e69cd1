"""What can go wrong with uploads."""

from __future__ import annotations

from services.core.errors import DomainError


class UploadOffset(DomainError):
    """Bytes that leave a gap or overlap what is there; `committed_bytes` tells where to go on."""

    reason = "UPLOAD_OFFSET"
    status = "OUT_OF_RANGE"
    en = "{upload} goes on at byte {committed_bytes}, got offset_bytes {offset_bytes}. Send from there."
    ja = "{upload} は {committed_bytes} バイト目から続きます（offset_bytes {offset_bytes}）。そこから送信してください。"

    def __init__(self, upload: str, *, offset_bytes: int, committed_bytes: int) -> None:
        super().__init__(upload=upload, offset_bytes=offset_bytes, committed_bytes=committed_bytes)


class UploadSuperseded(DomainError):
    """Another stream writes to the upload now."""

    reason = "UPLOAD_SUPERSEDED"
    status = "ABORTED"
    en = "Another stream took over {upload}. Only one writes at a time; the newest wins."
    ja = "別のストリームが {upload} を引き継ぎました。同時に書き込めるのは 1 つだけで、最後に開始したものが優先されます。"

    def __init__(self, upload: str) -> None:
        super().__init__(upload=upload)


class UploadNotOpen(DomainError):
    """The upload takes no more bytes."""

    reason = "UPLOAD_NOT_OPEN"
    status = "FAILED_PRECONDITION"
    en = "{upload} is {state} and takes no more bytes. Begin a new one."
    ja = "{upload} の状態は {state} で、これ以上書き込めません。新しいアップロードを開始してください。"

    def __init__(self, upload: str, *, state: str) -> None:
        super().__init__(upload=upload, state=state)


class UploadNotFinalized(DomainError):
    """The upload's bytes are not a file yet."""

    reason = "UPLOAD_NOT_FINALIZED"
    status = "FAILED_PRECONDITION"
    en = "{upload} is {state}. Finish it with FinalizeUpload first."
    ja = "{upload} の状態は {state} です。先に FinalizeUpload で確定してください。"

    def __init__(self, upload: str, *, state: str) -> None:
        super().__init__(upload=upload, state=state)


class UploadIncomplete(DomainError):
    """Fewer bytes came than were declared."""

    reason = "UPLOAD_INCOMPLETE"
    status = "FAILED_PRECONDITION"
    en = "{upload} has {committed_bytes} of {size_bytes} bytes. Send the rest from there, then finalise."
    ja = "{upload} は {size_bytes} バイト中 {committed_bytes} バイトです。続きを送信してから確定してください。"

    def __init__(self, upload: str, *, committed_bytes: int, size_bytes: int) -> None:
        super().__init__(upload=upload, committed_bytes=committed_bytes, size_bytes=size_bytes)


class UploadTooLarge(DomainError):
    """More bytes came than were declared."""

    reason = "UPLOAD_TOO_LARGE"
    status = "RESOURCE_EXHAUSTED"
    en = "{upload} was declared with {size_bytes} bytes, and more came. Declare the true length, or 0."
    ja = "{upload} は {size_bytes} バイトと宣言されていますが、それより多く届きました。正しい長さか 0 を宣言してください。"

    def __init__(self, upload: str, *, size_bytes: int) -> None:
        super().__init__(upload=upload, size_bytes=size_bytes)


class UploadDigest(DomainError):
    """The bytes that came are not those that the sender counted."""

    reason = "UPLOAD_DIGEST"
    status = "DATA_LOSS"
    en = "{upload} has SHA-256 {actual}, the sender says {expected}. Upload the file again."
    ja = "{upload} の SHA-256 は {actual} で、送信側の値 {expected} と一致しません。もう一度アップロードしてください。"

    def __init__(self, upload: str, *, expected: str, actual: str) -> None:
        super().__init__(upload=upload, expected=expected, actual=actual)


class FileTooLarge(DomainError):
    """The file is longer than this server takes."""

    reason = "FILE_TOO_LARGE"
    status = "RESOURCE_EXHAUSTED"
    en = (
        "The file has {size_bytes} bytes, and this server takes {limit_bytes} at most. Compress it (gzip, zstd), split it,"
        " or raise AIFT_MAX_UPLOAD_BYTES."
    )
    ja = (
        "ファイルは {size_bytes} バイトですが、このサーバーの上限は {limit_bytes} バイトです。圧縮（gzip、zstd）や分割をするか、"
        "AIFT_MAX_UPLOAD_BYTES を上げてください。"
    )

    def __init__(self, size_bytes: int, *, limit_bytes: int) -> None:
        super().__init__(size_bytes=size_bytes, limit_bytes=limit_bytes)
