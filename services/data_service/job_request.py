"""What a call asks of a data job, checked: enumerations, columns, recipes."""

from __future__ import annotations

from typing import TypeVar

from aift.data.v1 import data_pb2 as pb

from services.core import names
from services.core.errors import InvalidArgument
from services.data_service.data_job import JobSpec
from services.data_service.domain import BadRows, FileFormat, ReadOptions, RowForm, TextEncoding, ToolTurns, TrainOn

FORMS = {
    pb.ROW_FORM_UNSPECIFIED: RowForm.DETECT,
    pb.ROW_FORM_TEXT: RowForm.TEXT,
    pb.ROW_FORM_INSTRUCTION: RowForm.INSTRUCTION,
    pb.ROW_FORM_MESSAGES: RowForm.MESSAGES,
    pb.ROW_FORM_PROMPT_COMPLETION: RowForm.PROMPT_COMPLETION,
    pb.ROW_FORM_CONVERSATIONS: RowForm.CONVERSATIONS,
    pb.ROW_FORM_PREFERENCE: RowForm.PREFERENCE,
    pb.ROW_FORM_LABELED: RowForm.LABELED,
}
TRAIN_ON = {
    pb.TRAIN_ON_UNSPECIFIED: TrainOn.AUTO,
    pb.TRAIN_ON_COMPLETION: TrainOn.COMPLETION,
    pb.TRAIN_ON_ALL: TrainOn.ALL,
}
FORMATS = {
    pb.FILE_FORMAT_UNSPECIFIED: FileFormat.DETECT,
    pb.FILE_FORMAT_JSONL: FileFormat.JSONL,
    pb.FILE_FORMAT_JSON: FileFormat.JSON,
    pb.FILE_FORMAT_CSV: FileFormat.CSV,
    pb.FILE_FORMAT_TSV: FileFormat.TSV,
    pb.FILE_FORMAT_PARQUET: FileFormat.PARQUET,
    pb.FILE_FORMAT_TEXT: FileFormat.TEXT,
}
_ENCODINGS = {
    pb.TEXT_ENCODING_UNSPECIFIED: TextEncoding.DETECT,
    pb.TEXT_ENCODING_CP932: TextEncoding.CP932,
    pb.TEXT_ENCODING_EUC_JP: TextEncoding.EUC_JP,
}
_BAD_ROWS = {
    pb.BAD_ROWS_UNSPECIFIED: BadRows.REFUSE,
    pb.BAD_ROWS_REFUSE: BadRows.REFUSE,
    pb.BAD_ROWS_SET_ASIDE: BadRows.SET_ASIDE,
}
_TOOL_TURNS = {
    pb.TOOL_TURNS_UNSPECIFIED: ToolTurns.REFUSE,
    pb.TOOL_TURNS_REFUSE: ToolTurns.REFUSE,
    pb.TOOL_TURNS_KEEP: ToolTurns.KEEP,
}
_COLUMNS = {
    RowForm.TEXT: ("text",),
    RowForm.INSTRUCTION: ("instruction", "input", "response", "output"),
    RowForm.PROMPT_COMPLETION: ("prompt", "completion"),
    RowForm.MESSAGES: ("messages",),
    RowForm.CONVERSATIONS: ("conversations",),
    RowForm.PREFERENCE: ("prompt", "chosen", "rejected"),
    RowForm.LABELED: ("prompt", "completion", "label"),
}
"""The fields of each form, which columns may be mapped to."""
_FIELDS = frozenset(field for fields in _COLUMNS.values() for field in fields)

K = TypeVar("K")
V = TypeVar("V")


def reading(form: pb.RowForm.ValueType, train_on: pb.TrainOn.ValueType, read: pb.ReadOptions) -> JobSpec:
    """How a file is to be read. Raises InvalidArgument."""
    wanted = known(FORMS, form, "form")
    return JobSpec(
        form=wanted,
        train_on=known(TRAIN_ON, train_on, "train_on"),
        read=ReadOptions(
            format=known(FORMATS, read.format, "read.format"),
            encoding=known(_ENCODINGS, read.encoding, "read.encoding"),
            columns=_columns(wanted, dict(read.columns)),
            bad_rows=known(_BAD_ROWS, read.bad_rows, "read.bad_rows"),
            tool_turns=known(_TOOL_TURNS, read.tool_turns, "read.tool_turns"),
        ),
    )


def receiver(request: pb.ValidateDatasetRequest | pb.ImportDatasetRequest) -> tuple[str, str | None]:
    """Id of the data set that gets the version, and `new_dataset` of the job's spec. Raises InvalidArgument."""
    new_dataset = made_with_version(request)
    if new_dataset is not None and not request.dataset:
        return names.new_id(), new_dataset
    return names.parse("datasets/{dataset}", request.dataset, field="dataset")["dataset"], new_dataset


def made_with_version(
    request: pb.ValidateDatasetRequest | pb.ImportDatasetRequest | pb.PrepareDatasetRequest,
) -> str | None:
    """The display name of the data set that may be made; None where it may not. Raises InvalidArgument."""
    if not request.HasField("new_dataset"):
        return None
    return names.check_text(request.new_dataset.display_name, field="new_dataset.display_name")


def known(table: dict[K, V], value: K, field: str) -> V:
    """The domain's word for an enumeration's value. Raises InvalidArgument for one that is new to us."""
    if value not in table:
        raise InvalidArgument.field(
            field,
            "UNKNOWN_VALUE",
            "Is a value that this server does not know; it is older than the client.",
            "このサーバーでは未対応の値です。サーバーがクライアントより古いバージョンです。",
        )
    return table[value]


def _columns(form: RowForm, columns: dict[str, str]) -> dict[str, str]:
    allowed = _COLUMNS.get(form, tuple(sorted(_FIELDS)))
    for field, column in columns.items():
        if field not in allowed:
            shown = ", ".join(allowed)
            raise InvalidArgument.field(
                "read.columns",
                "UNKNOWN_FIELD",
                f"{field[:40]!r} is no field of the form; its fields are {shown}.",
                f"{field[:40]!r} はこの形式の項目ではありません。使える項目: {shown}。",
            )
        if not column:
            raise InvalidArgument.field(
                "read.columns",
                "EMPTY_COLUMN",
                f"Names no column for {field}.",
                f"{field} に対応する列名がありません。",
            )
    return columns
