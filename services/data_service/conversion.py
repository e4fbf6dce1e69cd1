"""The domain's things as messages, and back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.core.blobs import StoredBlob
from services.data_service import job_request, recipe_message
from services.data_service.data_job import DataJob, JobKind, JobPhase, JobState
from services.data_service.domain import (
    Dataset,
    Reference,
    Statistics,
    Template,
    TokenStatistics,
    Version,
)
from services.data_service.recipe import Recipe
from services.data_service.report import Finding, Report, Severity
from services.data_service.row_pages import RowView
from services.data_service.upload import Upload, UploadState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UPLOAD_STATES = {
    UploadState.OPEN: pb.UPLOAD_STATE_OPEN,
    UploadState.FINALIZED: pb.UPLOAD_STATE_FINALIZED,
    UploadState.EXPIRED: pb.UPLOAD_STATE_EXPIRED,
}
_FORMS = {form: number for number, form in job_request.FORMS.items()}
_TRAIN_ON = {train_on: number for number, train_on in job_request.TRAIN_ON.items()}
_FORMATS = {format_: number for number, format_ in job_request.FORMATS.items()}
_KINDS = {
    JobKind.VALIDATION: pb.DATA_JOB_KIND_VALIDATION,
    JobKind.IMPORT: pb.DATA_JOB_KIND_IMPORT,
    JobKind.PREPARATION: pb.DATA_JOB_KIND_PREPARATION,
    JobKind.TOKEN_COUNT: pb.DATA_JOB_KIND_TOKEN_COUNT,
}
_PHASES = {
    JobPhase.WAITING: pb.DATA_JOB_PHASE_UNSPECIFIED,
    JobPhase.FETCHING: pb.DATA_JOB_PHASE_FETCHING,
    JobPhase.PREPARING: pb.DATA_JOB_PHASE_PREPARING,
    JobPhase.CHECKING: pb.DATA_JOB_PHASE_CHECKING,
    JobPhase.COUNTING: pb.DATA_JOB_PHASE_COUNTING,
}
_JOB_STATES = {
    JobState.QUEUED: pb.DATA_JOB_STATE_QUEUED,
    JobState.RUNNING: pb.DATA_JOB_STATE_RUNNING,
    JobState.SUCCEEDED: pb.DATA_JOB_STATE_SUCCEEDED,
    JobState.FAILED: pb.DATA_JOB_STATE_FAILED,
    JobState.CANCELLED: pb.DATA_JOB_STATE_CANCELLED,
}
_SEVERITIES = {Severity.ERROR: pb.SEVERITY_ERROR, Severity.WARNING: pb.SEVERITY_WARNING}


def upload(value: Upload) -> pb.Upload:
    """An upload."""
    return pb.Upload(
        name=value.name,
        uid=value.uid,
        filename=value.filename,
        size_bytes=value.size_bytes,
        committed_bytes=value.committed_bytes,
        state=_UPLOAD_STATES[value.state],
        sha256=value.sha256,
        create_time=_time(value.create_time),
        expire_time=_time(value.expire_time),
    )


def blob(value: StoredBlob) -> blob_pb2.Blob:
    """Content, for another service."""
    return blob_pb2.Blob(sha256=value.sha256, size_bytes=value.size_bytes, key=value.key)


def dataset(value: Dataset) -> pb.Dataset:
    """A data set."""
    return pb.Dataset(
        name=value.name,
        uid=value.uid,
        etag=value.etag,
        display_name=value.display_name,
        description=value.description,
        latest_version=f"{value.name}/versions/{value.latest_version}" if value.latest_version else "",
        create_time=_time(value.create_time),
        update_time=_time(value.update_time),
    )


def job(value: DataJob) -> pb.DataJob:
    """A data job."""
    message = pb.DataJob(
        name=value.name,
        uid=value.uid,
        kind=_KINDS[value.kind],
        state=_JOB_STATES[value.state],
        phase=_PHASES[value.phase],
        dataset=f"datasets/{value.dataset_id}",
        upload=f"uploads/{value.upload_id}" if value.upload_id else "",
        source=value.spec.source,
        source_version=value.spec.source_version,
        dataset_version=f"datasets/{value.dataset_id}/versions/{value.version_number}" if value.version_number else "",
        done_bytes=value.done_bytes,
        total_bytes=value.total_bytes,
        rows=value.rows,
        create_time=_time(value.create_time),
        start_time=_time(value.start_time),
        end_time=_time(value.end_time),
        validation_version=value.outcome.validation_version,
        test_version=value.outcome.test_version,
        steps=[pb.PreparationStep(**asdict(step)) for step in value.outcome.steps],
    )
    if value.failure is not None:
        message.failure.reason = value.failure.reason
        message.failure.message.CopyFrom(text(value.failure.en, value.failure.ja))
    return message


def version(value: Version) -> pb.DatasetVersion:
    """A version, without the files that are ours alone."""
    files = [
        blob_pb2.FileEntry(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)
        for file in value.visible_files
    ]
    return pb.DatasetVersion(
        name=value.name,
        uid=value.uid,
        sha256=value.sha256,
        size_bytes=value.size_bytes,
        template=_template(value.template),
        statistics=_statistics(value.statistics),
        data_job=value.data_job,
        filename=value.filename,
        create_time=_time(value.create_time),
        files=files,
        parent=value.origin.parent,
        recipe=recipe_message.to_proto(Recipe.from_json(value.origin.recipe)) if value.origin.recipe else None,
        source=value.origin.source,
    )


def reference(value: Reference) -> pb.DatasetReference:
    """Something that depends on a version."""
    return pb.DatasetReference(
        dataset_version=f"datasets/{value.dataset_id}/versions/{value.number}",
        referrer=value.referrer,
        create_time=_time(value.create_time),
    )


def token_statistics(
    version: Version, base_model: str, value: TokenStatistics, counted: datetime
) -> pb.TokenStatistics:
    """Lengths in tokens."""
    return pb.TokenStatistics(name=version.name, base_model=base_model, create_time=_time(counted), **asdict(value))


def report(value: Report, data_job: str) -> pb.ValidationReport:
    """What a data job found."""
    return pb.ValidationReport(
        data_job=data_job,
        valid=value.valid,
        rows=value.rows,
        valid_rows=value.valid_rows,
        template=_template(value.template),
        findings=[finding(one) for one in value.findings],
        statistics=_statistics(value.statistics),
        format=_FORMATS[value.format],
        encoding=value.encoding,
        compression=value.compression,
        format_evidence=blob_pb2.LocalizedText(ja=value.format_evidence_ja, en=value.format_evidence_en),
        set_aside_rows=value.set_aside_rows,
    )


def row(value: RowView) -> pb.Row:
    """One row."""
    return pb.Row(
        index=value.index,
        line=value.line,
        json=value.json,
        prompt=value.prompt,
        completion=value.completion,
        rejected=value.rejected,
    )


def finding(value: Finding) -> pb.Finding:
    """What is wrong, and where."""
    examples = [
        pb.FindingExample(
            line=example.line,
            column=example.column,
            byte_offset=example.byte_offset,
            field=example.field,
            excerpt=example.excerpt,
        )
        for example in value.examples
    ]
    return pb.Finding(
        reason=value.reason,
        severity=_SEVERITIES[value.severity],
        count=value.count,
        message=text(value.en, value.ja),
        examples=examples,
    )


def _template(value: Template) -> pb.RowTemplate:
    return pb.RowTemplate(
        form=_FORMS[value.form],
        train_on=_TRAIN_ON[value.train_on],
        prompt_marker=value.prompt_marker,
        completion_marker=value.completion_marker,
        evidence=text(value.evidence_en, value.evidence_ja),
    )


def _statistics(value: Statistics) -> pb.DatasetStatistics:
    return pb.DatasetStatistics(
        rows=value.rows,
        characters=value.characters,
        min_characters=value.min_characters,
        median_characters=value.median_characters,
        max_characters=value.max_characters,
        duplicate_rows=value.duplicate_rows,
        histogram_counts=value.histogram_counts,
        histogram_bounds=value.histogram_bounds,
        script_shares=value.script_shares,
        language_shares=value.language_shares,
    )


def text(en: str, ja: str) -> blob_pb2.LocalizedText:
    """The same in both languages."""
    return blob_pb2.LocalizedText(en=en, ja=ja)


def _time(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    micros = (value - _EPOCH) // datetime.resolution
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
