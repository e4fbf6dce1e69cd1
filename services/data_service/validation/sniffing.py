"""How rows are written in a file, told by its first bytes; the name decides only where the content allows several."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import PurePath

from services.data_service.domain import FileFormat
from services.data_service.report import Example
from services.data_service.validation import file_reasons
from services.data_service.validation.encoding import binary_kind
from services.data_service.validation.excerpt import excerpt_bytes
from services.data_service.validation.findings import Findings
from services.data_service.validation.lines import BOM
from services.data_service.validation.request import ValidationRequest
from services.text.detection import form_of_fields

HEAD_BYTES = 64 << 10
_PARQUET = b"PAR1"
_ARRAY = re.compile(rb"\[\s*(?:[{\]]|\Z)")
_SUFFIXES = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".json": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.TSV,
    ".txt": FileFormat.TEXT,
}
_PACKED = (".gz", ".zst", ".gzip", ".zstd")
_SEPARATORS = {",": FileFormat.CSV, "\t": FileFormat.TSV, ";": FileFormat.CSV}
"""What stands between fields; the semicolon is that of spreadsheets where the comma is for decimals."""
_CALLED = {",": ("commas", "カンマ"), "\t": ("tabs", "タブ"), ";": ("semicolons", "セミコロン")}


@dataclass(frozen=True)
class Sniffed:
    """A format, and why it was chosen."""

    format: FileFormat
    en: str
    ja: str
    separator: str = ""
    """Of a table."""


def sniff(head: bytes, filename: str, request: ValidationRequest, findings: Findings) -> Sniffed | None:
    """The format of a file; None, and a finding, when it holds no rows that can be read. `head` is its beginning."""
    asked = request.read.format
    is_parquet = head.startswith(_PARQUET)
    kind = None if is_parquet and asked in (FileFormat.DETECT, FileFormat.PARQUET) else binary_kind(head)
    if kind is not None:
        at = Example(line=1, column=1, byte_offset=0, field="", excerpt=excerpt_bytes(head, "ascii"))
        kind_ja = file_reasons.BINARY_JA if kind == file_reasons.BINARY else kind
        findings.add(file_reasons.NOT_TEXT, at, kind=kind, kind_ja=kind_ja, fatal=True)
        return None
    if asked is not FileFormat.DETECT:
        return _asked(asked, head)
    if is_parquet:
        return Sniffed(FileFormat.PARQUET, "begins with PAR1", "先頭が PAR1")
    text = head.removeprefix(BOM).lstrip()
    if _ARRAY.match(text):
        return Sniffed(FileFormat.JSON, "begins as an array of objects", "先頭がオブジェクトの配列")
    if not text and len(head) < HEAD_BYTES:
        return Sniffed(FileFormat.DETECT, "", "")
    if text.startswith(b"{") or not text:
        return Sniffed(FileFormat.JSONL, "lines begin as objects", "行の先頭がオブジェクト")
    return _text(text.decode("utf-8", "replace"), _named(filename), request)


def _text(text: str, named: FileFormat | None, request: ValidationRequest) -> Sniffed:
    """A file that does not begin as JSON."""
    lines = text.splitlines()
    if named is FileFormat.JSONL or any(line.startswith(('{"', "{ ")) for line in lines[:100]):
        return Sniffed(FileFormat.JSONL, "lines of JSON, or so the name says", "JSON の行、またはファイル名から")
    for separator, format_ in _SEPARATORS.items():
        names = _header(lines, separator)
        en, ja = _CALLED[separator]
        if form_of_fields(names) is not None or (names and set(request.read.columns.values()) & set(names)):
            if len(names) > 1 or named is format_:
                shown = ", ".join(names)[:100]
                return Sniffed(format_, f"a header and {en}: {shown}", f"見出しと{ja}区切り: {shown}", separator)
        elif named is format_ and len(names) > 1:
            return Sniffed(format_, f"{en}, and the file's name", f"{ja}区切り、およびファイル名", separator)
    separator = next((each for each, format_ in _SEPARATORS.items() if format_ is named), "")
    if named is not None and separator:
        en, ja = "the file's name; the content allows it", "ファイル名から（内容とも矛盾しない）"
        return Sniffed(named, en, ja, separator)
    return Sniffed(FileFormat.TEXT, "neither JSON nor a table with known columns", "JSON でも既知の列を持つ表でもない")


def _asked(format_: FileFormat, head: bytes) -> Sniffed:
    """The format that the user chose; of a table, with the first separator that its header has."""
    lines = head.removeprefix(BOM).decode("utf-8", "replace").splitlines()
    fitting = [separator for separator, each in _SEPARATORS.items() if each is format_]
    separator = next((each for each in fitting if len(_header(lines, each)) > 1), next(iter(fitting), ""))
    if separator != ";":
        return Sniffed(format_, "chosen by the user", "ユーザー指定", separator)
    return Sniffed(
        format_, "chosen by the user; a header with semicolons", "ユーザー指定。セミコロン区切りの見出し", separator
    )


def _header(lines: list[str], separator: str) -> list[str]:
    """The names in the first line; nothing where it is none."""
    try:
        return next(csv.reader(lines[:1], delimiter=separator, strict=True), [])
    except csv.Error:
        return []


def _named(filename: str) -> FileFormat | None:
    path = PurePath(filename.lower())
    return _SUFFIXES.get((path.with_suffix("") if path.suffix in _PACKED else path).suffix)
