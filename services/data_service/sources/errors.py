"""Why a file cannot be fetched."""

from __future__ import annotations

from services.core.errors import DomainError


class UrlNotAllowed(DomainError):
    """The address, or one that it leads to, may not be asked."""

    reason = "URL_NOT_ALLOWED"
    status = "PERMISSION_DENIED"
    en = "{host} may not be asked: {detail_en}. Or download the file and upload it."
    ja = "{host} からは取り込めません: {detail_ja}。または、ファイルをダウンロードしてからアップロードしてください。"


class DroppedFileUnsettled(DomainError):
    """The file is still being copied."""

    reason = "DROPPED_FILE_UNSETTLED"
    status = "FAILED_PRECONDITION"
    en = "{name} was written to a moment ago. Wait until it is copied completely, then import it again."
    ja = "{name} はまだ書き込まれています。コピーが終わってから、もう一度取り込んでください。"

    def __init__(self, name: str) -> None:
        super().__init__(name=name, retry_after_s=3)


class DroppedFileMissing(DomainError):
    """The drop directory has no such file. Becomes a job's failure, or is told at once."""

    reason = "DROPPED_FILE_MISSING"
    status = "NOT_FOUND"
    en = "{name} is not in the drop directory, or is no plain file or folder. ListDroppedFiles shows what is."
    ja = "{name} はドロップフォルダにないか、通常のファイルやフォルダではありません。一覧で確認してください。"

    def __init__(self, name: str) -> None:
        super().__init__(name=name)


class SourceUnreachable(DomainError):
    """The other side does not answer, or broke off again and again. Becomes a job's failure."""

    reason = "SOURCE_UNREACHABLE"
    status = "FAILED_PRECONDITION"
    en = (
        "{source} cannot be fetched ({detail}). Check the address and the network and import again, or upload the file."
    )
    ja = (
        "{source} を取得できません ({detail})。アドレスとネットワークを確認してもう一度取り込むか、"
        "ファイルをアップロードしてください。"
    )

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(source=source, detail=detail[:200])


class SourceNotFound(DomainError):
    """There is no such file there. Becomes a job's failure."""

    reason = "SOURCE_NOT_FOUND"
    status = "NOT_FOUND"
    en = "{source} does not exist, or may not be read by this server. Check the name."
    ja = "{source} が存在しないか、このサーバーからは読めません。名前を確認してください。"

    def __init__(self, source: str) -> None:
        super().__init__(source=source)


class SourceTooLarge(DomainError):
    """The file is larger than uploads may be. Becomes a job's failure."""

    reason = "SOURCE_TOO_LARGE"
    status = "FAILED_PRECONDITION"
    en = "{source} is larger than the {limit} bytes that one file may have (AIFT_MAX_UPLOAD_BYTES). Split it."
    ja = "{source} は 1 ファイルの上限 {limit} バイトを超えています (AIFT_MAX_UPLOAD_BYTES)。分割してください。"

    def __init__(self, source: str, *, limit: int) -> None:
        super().__init__(source=source, limit=limit)


class BucketNotAllowed(DomainError):
    """The bucket, or that part of it, may not be read by imports."""

    reason = "BUCKET_NOT_ALLOWED"
    status = "PERMISSION_DENIED"
    en = "{place} may not be read. An administrator allows buckets, or folders in them, with AIFT_IMPORT_BUCKETS."
    ja = "{place} は読み取りが許可されていません。管理者が AIFT_IMPORT_BUCKETS でバケットまたはフォルダを許可してください。"

    def __init__(self, place: str) -> None:
        super().__init__(place=place)


class NoS3Store(DomainError):
    """The services keep nothing in an S3 store, so there is none to read from."""

    reason = "NO_S3_STORE"
    status = "FAILED_PRECONDITION"
    en = (
        "{place} cannot be read: this server keeps its objects in a directory. An administrator connects an S3 store "
        "with AIFT_OBJECT_STORE=s3 and AIFT_S3_ENDPOINT; or upload the file."
    )
    ja = (
        "{place} を読み取れません。このサーバーは S3 ストアを使っていません。管理者が AIFT_OBJECT_STORE=s3 と "
        "AIFT_S3_ENDPOINT を設定するか、ファイルをアップロードしてください。"
    )

    def __init__(self, place: str) -> None:
        super().__init__(place=place)


class HubDatasetNotFound(DomainError):
    """No such data set, or a private one. Becomes a job's failure."""

    reason = "HUB_DATASET_NOT_FOUND"
    status = "NOT_FOUND"
    en = (
        "{hub_id} is no data set of the Hugging Face Hub, or is private. Check the id; "
        "for a private one an administrator sets AIFT_HUB_TOKEN."
    )
    ja = (
        "{hub_id} は Hugging Face Hub のデータセットにないか、非公開です。ID を確認してください。"
        "非公開の場合は管理者が AIFT_HUB_TOKEN を設定する必要があります。"
    )


class HubDatasetRevisionNotFound(DomainError):
    """The data set has no such branch, tag or commit. Becomes a job's failure."""

    reason = "HUB_DATASET_REVISION_NOT_FOUND"
    status = "NOT_FOUND"
    en = "{hub_id} has no revision {revision} on the Hugging Face Hub."
    ja = "Hugging Face Hub の {hub_id} にリビジョン {revision} はありません。"


class HubDatasetGated(DomainError):
    """The data set's terms must be accepted first. Becomes a job's failure."""

    reason = "HUB_DATASET_GATED"
    status = "FAILED_PRECONDITION"
    en = (
        "{hub_id} is gated. Accept its terms at https://huggingface.co/datasets/{hub_id} and have an administrator "
        "set AIFT_HUB_TOKEN to a token of that account."
    )
    ja = (
        "{hub_id} は利用規約への同意が必要です。https://huggingface.co/datasets/{hub_id} で同意し、"
        "そのアカウントのトークンを管理者が AIFT_HUB_TOKEN に設定してください。"
    )


class HubDatasetTokenRefused(DomainError):
    """The Hub does not accept our token. Becomes a job's failure."""

    reason = "HUB_DATASET_TOKEN_REFUSED"
    status = "FAILED_PRECONDITION"
    en = "The Hugging Face Hub refuses the server's token for {hub_id}. An administrator must renew AIFT_HUB_TOKEN."
    ja = (
        "Hugging Face Hub が {hub_id} に対するサーバーのトークンを拒否しました。"
        "管理者が AIFT_HUB_TOKEN を更新する必要があります。"
    )


class HubFileNotChosen(DomainError):
    """The data set has several files, or none that we read, or not the one that was named. Becomes a job's failure."""

    reason = "HUB_FILE_NOT_CHOSEN"
    status = "FAILED_PRECONDITION"
    en = "{hub_id}: name one of its files in `path`. Those that can be read ({count}): {files}"
    ja = "{hub_id}: 取り込むファイルを path で指定してください。読み込めるファイル ({count} 件): {files}"
