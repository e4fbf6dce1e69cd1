"""What can go wrong with uploads, data jobs and versions."""

from __future__ import annotations

from collections.abc import Sequence

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


class DataJobEnded(DomainError):
    """The job ended otherwise; there is nothing to stop."""

    reason = "DATA_JOB_ENDED"
    status = "FAILED_PRECONDITION"
    en = "{job} has ended already as {state}."
    ja = "{job} は既に {state} で終了しています。"

    def __init__(self, job: str, *, state: str) -> None:
        super().__init__(job=job, state=state)


class ReportNotReady(DomainError):
    """The job has written no report yet."""

    reason = "REPORT_NOT_READY"
    status = "FAILED_PRECONDITION"
    en = "{job} is {state} and has no report. Wait until it has SUCCEEDED, or FAILED with DATA_INVALID."
    ja = "{job} の状態は {state} で、レポートはまだありません。SUCCEEDED か、DATA_INVALID での FAILED までお待ちください。"

    def __init__(self, job: str, *, state: str) -> None:
        super().__init__(job=job, state=state)


class NoReport(DomainError):
    """The job has ended and never wrote a report."""

    reason = "NO_REPORT"
    status = "FAILED_PRECONDITION"
    en = "{job} has ended as {state} and has no report: only uploads, imports and preparations that were checked have one."
    ja = "{job} は {state} で終了しており、レポートはありません。レポートがあるのは検証された送信・取り込み・前処理だけです。"

    def __init__(self, job: str, *, state: str) -> None:
        super().__init__(job=job, state=state)


class NoVersion(DomainError):
    """The data set has no version yet, or none any more."""

    reason = "NO_VERSION"
    status = "NOT_FOUND"
    en = "{dataset} has no version. Upload or import a file into it."
    ja = "{dataset} にはバージョンがありません。ファイルをアップロードするか取り込んでください。"

    def __init__(self, dataset: str) -> None:
        super().__init__(dataset=dataset)


class RecentlyDeleted(DomainError):
    """The id of a data set that was deleted is not free again yet."""

    reason = "RECENTLY_DELETED"
    status = "ALREADY_EXISTS"
    en = "{dataset} was deleted less than seven days ago, and its id is not free before. Choose another id (--dataset)."
    ja = "{dataset} は削除されてから 7 日経っていないため、この ID はまだ使えません。別の ID（--dataset）を指定してください。"

    def __init__(self, dataset: str) -> None:
        super().__init__(dataset=dataset)


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


class DataInvalid(DomainError):
    """The file has errors. Becomes a job's failure, with the first of them in front."""

    reason = "DATA_INVALID"
    status = "FAILED_PRECONDITION"
    en = "{place}{finding}: {text} Errors in all: {errors}; the report lists them."
    ja = "{place_ja}{finding}: {text_ja} エラーは全部で {errors} 件です。詳細は検証レポートをご覧ください。"


class ValidationCrashed(DomainError):
    """The checking process ended again and again without a result. Becomes a job's failure."""

    reason = "VALIDATION_CRASHED"
    status = "INTERNAL"
    en = "The checking process ended {attempts} times without a result. The service's log has the reason."
    ja = "検証プロセスが結果を出さずに {attempts} 回終了しました。原因はサービスのログにあります。"

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts=attempts)


class DatasetGone(DomainError):
    """The data set was deleted while the job ran. Becomes a job's failure."""

    reason = "DATASET_GONE"
    status = "FAILED_PRECONDITION"
    en = "{dataset} was deleted while its data were being checked."
    ja = "検証中に {dataset} が削除されました。"

    def __init__(self, dataset: str) -> None:
        super().__init__(dataset=dataset)


class DatasetReferenced(DomainError):
    """Something depends on what is to be deleted."""

    reason = "DATASET_REFERENCED"
    status = "FAILED_PRECONDITION"
    en = "{name} is in use by {count}: {referrers}. Delete those first, or delete it with force."
    ja = "{name} は {count} 件から参照されています: {referrers}。先にそれらを削除するか、force を指定して削除してください。"

    def __init__(self, name: str, *, referrers: Sequence[str], count: int) -> None:
        super().__init__(name=name, referrers=", ".join(referrers), count=count)


class ConversionImpossible(DomainError):
    """A row cannot have the form that was asked for without a loss. Also becomes a job's failure."""

    reason = "CONVERSION_IMPOSSIBLE"
    status = "FAILED_PRECONDITION"
    en = "Row {row} (line {line}) cannot be converted: {why_en}. Nothing was made; mend or remove the row."
    ja = "{row} 行目のデータ（元ファイルの {line} 行目）は変換できません。{why_ja}。何も作成していません。行を直すか取り除いてください。"

    def __init__(self, *, row: int, line: int, why_en: str, why_ja: str) -> None:
        super().__init__(row=row, line=line, why_en=why_en, why_ja=why_ja)


class PreparedNothing(DomainError):
    """No row is left to train on. Becomes a job's failure."""

    reason = "PREPARED_NOTHING"
    status = "FAILED_PRECONDITION"
    en = "No row is left: the step {step} dropped or held out the last. Make the recipe less strict."
    ja = "残る行がありません。処理 {step} で最後の行がなくなりました。条件を緩めてください。"

    def __init__(self, *, step: str) -> None:
        super().__init__(step=step)


class TooManyRows(DomainError):
    """More rows than similar ones can be found among. Becomes a job's failure."""

    reason = "TOO_MANY_ROWS"
    status = "FAILED_PRECONDITION"
    en = "Similar rows can be found among {limit} rows at most. Drop repetitions exactly, or prepare the data in parts."
    ja = "類似行の検出は {limit} 行までです。完全一致の重複除去だけにするか、データを分けて処理してください。"

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit)


PREPARATION_FAILURES: dict[str, type[DomainError]] = {
    kind.reason: kind for kind in (ConversionImpossible, PreparedNothing, TooManyRows)
}
"""What a preparing process may tell instead of a result, by reason."""
