"""What can go wrong with data jobs and versions."""

from __future__ import annotations

from collections.abc import Sequence

from services.core.errors import DomainError


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
