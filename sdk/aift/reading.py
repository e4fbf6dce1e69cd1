"""How a file of rows is to be read: the words for it, and the messages that they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict, TypeVar

from aift.data.v1 import data_pb2
from aift.errors import invalid

FORMS: Final = {
    "text": data_pb2.ROW_FORM_TEXT,
    "instruction": data_pb2.ROW_FORM_INSTRUCTION,
    "messages": data_pb2.ROW_FORM_MESSAGES,
    "prompt-completion": data_pb2.ROW_FORM_PROMPT_COMPLETION,
    "conversations": data_pb2.ROW_FORM_CONVERSATIONS,
    "preference": data_pb2.ROW_FORM_PREFERENCE,
    "labeled": data_pb2.ROW_FORM_LABELED,
}
FORM_ALIASES: Final = {
    "alpaca": "instruction",
    "openai": "messages",
    "chat": "messages",
    "sharegpt": "conversations",
    "dpo": "preference",
    "kto": "labeled",
}
TRAIN_ON: Final = {"completion": data_pb2.TRAIN_ON_COMPLETION, "all": data_pb2.TRAIN_ON_ALL}
FORMATS: Final = {
    "jsonl": data_pb2.FILE_FORMAT_JSONL,
    "json": data_pb2.FILE_FORMAT_JSON,
    "csv": data_pb2.FILE_FORMAT_CSV,
    "tsv": data_pb2.FILE_FORMAT_TSV,
    "parquet": data_pb2.FILE_FORMAT_PARQUET,
    "text": data_pb2.FILE_FORMAT_TEXT,
}
ENCODINGS: Final = {
    "utf-8": data_pb2.TEXT_ENCODING_UNSPECIFIED,
    "cp932": data_pb2.TEXT_ENCODING_CP932,
    "euc-jp": data_pb2.TEXT_ENCODING_EUC_JP,
}
ENCODING_ALIASES: Final = {
    "utf8": "utf-8",
    "utf-16": "utf-8",  # a byte order mark tells which of the two it is
    "shift-jis": "cp932",
    "sjis": "cp932",
    "windows-31j": "cp932",
    "ms932": "cp932",
    "eucjp": "euc-jp",
}
BAD_ROWS: Final = {"refuse": data_pb2.BAD_ROWS_REFUSE, "set-aside": data_pb2.BAD_ROWS_SET_ASIDE}
TOOL_TURNS: Final = {"refuse": data_pb2.TOOL_TURNS_REFUSE, "keep": data_pb2.TOOL_TURNS_KEEP}

Choice = TypeVar("Choice", bound=int)


class Reading(TypedDict, total=False):
    """How rows are read; what is left out or None is detected."""

    form: str | None
    """One of FORMS: how a row says what is shown and what is learned."""
    train_on: str | None
    """ "completion" or "all"."""
    format: str | None
    """One of FORMATS; gzip and zstd around it are always detected."""
    encoding: str | None
    """One of ENCODINGS; needed for anything but UTF-8 and UTF-16."""
    columns: Mapping[str, str] | None
    """Fields of the form by the columns that hold them: {"instruction": "質問", "response": "回答"}."""
    bad_rows: str | None
    """ "refuse" (no version where a row is wrong) or "set-aside" (they go to a file of their own)."""
    tool_turns: str | None
    """ "refuse" or "keep"."""


def form_of(reading: Reading) -> data_pb2.RowForm.ValueType:
    """The form that is asked for. Raises AiftError UNKNOWN_VALUE."""
    return choice("form", reading.get("form"), FORMS, data_pb2.ROW_FORM_UNSPECIFIED, FORM_ALIASES)


def train_on_of(reading: Reading) -> data_pb2.TrainOn.ValueType:
    """The part that is asked for. Raises AiftError UNKNOWN_VALUE."""
    return choice("train_on", reading.get("train_on"), TRAIN_ON, data_pb2.TRAIN_ON_UNSPECIFIED)


def read_options(reading: Reading) -> data_pb2.ReadOptions:
    """The rest as a message. Raises AiftError UNKNOWN_VALUE."""
    return data_pb2.ReadOptions(
        format=choice("format", reading.get("format"), FORMATS, data_pb2.FILE_FORMAT_UNSPECIFIED),
        encoding=choice(
            "encoding", reading.get("encoding"), ENCODINGS, data_pb2.TEXT_ENCODING_UNSPECIFIED, ENCODING_ALIASES
        ),
        columns=reading.get("columns") or {},
        bad_rows=choice("bad_rows", reading.get("bad_rows"), BAD_ROWS, data_pb2.BAD_ROWS_UNSPECIFIED),
        tool_turns=choice("tool_turns", reading.get("tool_turns"), TOOL_TURNS, data_pb2.TOOL_TURNS_UNSPECIFIED),
    )


def columns_of(pairs: Sequence[str]) -> dict[str, str]:
    """{"instruction": "質問"} of ["instruction=質問"]. Raises AiftError USAGE."""
    columns = {}
    for pair in pairs:
        field, sign, column = pair.partition("=")
        if not (field and sign and column):
            en, ja = f"--column takes FIELD=COLUMN, not {pair!r}.", f"--column は「項目=列名」の形です: {pair!r}"
            raise invalid("--column", "USAGE", en, ja)
        columns[field.strip()] = column
    return columns


def choice(
    field: str,
    value: str | None,
    choices: Mapping[str, Choice],
    default: Choice,
    aliases: Mapping[str, str] | None = None,
) -> Choice:
    """The value of a word, in any case and with "_" for "-". Raises AiftError UNKNOWN_VALUE."""
    if value is None:
        return default
    written = value.strip().lower().replace("_", "-")
    word = (aliases or {}).get(written, written)
    if word in choices:
        return choices[word]
    known = ", ".join(choices)
    raise invalid(
        field,
        "UNKNOWN_VALUE",
        f"{field} is {value!r}; choose from {known}.",
        f"{field} の {value!r} は使えません。{known} から選んでください。",
    )


def form_word(form: data_pb2.RowForm.ValueType) -> str:
    """The word for a form, as FORMS has it; "" when it is not known."""
    return next((word for word, number in FORMS.items() if number == form), "")
