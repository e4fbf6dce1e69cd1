"""A file made ready to be read: unpacked, in UTF-8, its format known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.data_service.domain import FileFormat, TextEncoding
from services.data_service.validation.blocks import Block, spans
from services.data_service.validation.encoding import NAMED, UTF_16, is_utf16
from services.data_service.validation.findings import Findings
from services.data_service.validation.meter import Meter
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.sniffing import HEAD_BYTES, Sniffed, sniff
from services.data_service.validation.sources.json_array import JsonArray
from services.data_service.validation.sources.plain_text import PlainText
from services.data_service.validation.sources.table import Table
from services.data_service.validation.transcoding import transcode
from services.data_service.validation.unpacking import compression, unpack

_UNPACKED, _TRANSCODED = "unpacked", "transcoded"
_WITHOUT_ENCODING = (FileFormat.PARQUET, FileFormat.DETECT)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A file whose rows can be read."""

    path: Path
    """Of the unpacked text."""
    format: FileFormat
    separator: str
    """Between the fields of a table."""
    encoding: str
    compression: str
    evidence_en: str
    evidence_ja: str
    request: ValidationRequest

    @property
    def size_bytes(self) -> int:
        """Length of what is read."""
        return self.path.stat().st_size

    def blocks(self) -> Iterator[Block]:
        """The rows, in order."""
        limit = self.request.max_line_bytes
        if self.format is FileFormat.JSON:
            return JsonArray(self.path, limit).blocks()
        if self.separator:
            return Table(self.path, self.separator, self.request.read.columns, limit).blocks()
        if self.format is FileFormat.PARQUET:
            from services.data_service.validation.sources.parquet import Parquet  # pyarrow: no other format needs it

            return Parquet(self.path, self.request.read.columns).blocks()
        if self.format is FileFormat.TEXT:
            return PlainText(self.path, limit).blocks()
        return spans(self.path, limit)


def open_file(
    path: Path, name: str, request: ValidationRequest, folder: Path, findings: Findings, meter: Meter
) -> Opened | None:
    """Makes a file ready; None, and a finding, where that cannot be done.

    Args:
        path: the file.
        name: as the user calls it.
        request: how it is to be read.
        folder: where copies of its text in UTF-8 may lie, until `remove_copies`.
        findings: takes what is wrong.
        meter: is told how far it is.
    """
    packed = compression(_head(path))
    if packed:
        target = folder / _UNPACKED
        if not unpack(path, packed, target, request, findings, meter.stage(path.stat().st_size)):
            return None
        path = target
    encoding = UTF_16 if is_utf16(_head(path)) else NAMED.get(request.read.encoding)
    if encoding is not None and request.read.format is not FileFormat.PARQUET:
        target = folder / _TRANSCODED
        if not transcode(path, encoding, target, findings, meter.stage(path.stat().st_size)):
            return None
        (folder / _UNPACKED).unlink(missing_ok=True)
        path = target
    sniffed = sniff(_head(path), name, request, findings)
    if sniffed is None:
        return None
    en, ja = _evidence(sniffed, request.read.encoding, packed)
    return Opened(
        path=path,
        format=sniffed.format,
        separator=sniffed.separator,
        encoding=encoding.name if encoding else "" if sniffed.format in _WITHOUT_ENCODING else "UTF-8",
        compression=packed,
        evidence_en=en,
        evidence_ja=ja,
        request=request,
    )


def remove_copies(folder: Path) -> None:
    """Removes what `open_file` left there, once the file was read."""
    for name in (_UNPACKED, _TRANSCODED):
        (folder / name).unlink(missing_ok=True)


def _evidence(sniffed: Sniffed, asked: TextEncoding, packed: str) -> tuple[str, str]:
    en, ja = sniffed.en, sniffed.ja
    if packed:
        en, ja = f"{en}, inside {packed}", f"{ja}（{packed} 圧縮）"
    if asked is not TextEncoding.DETECT:
        en, ja = f"{en}; encoding chosen by the user", f"{ja}。文字コードはユーザー指定"
    return en, ja


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)
