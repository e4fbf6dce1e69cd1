"""Compressed files unpacked into the working folder, with a limit that no file can talk its way past."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO, Protocol

import zstandard

from services.data_service.validation import file_reasons
from services.data_service.validation.findings import Findings
from services.data_service.validation.meter import Gauge
from services.data_service.validation.request import ValidationRequest

_MAGIC = ((b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_FREE_BYTES = 64 << 20
"""Up to here the ratio does not matter: text that repeats itself compresses well."""
# 2 KiB of zstd unpack to 64 MiB at the worst.
_READ_BYTES = {"gzip": 64 << 10, "zstd": 2 << 10}
_MAX_WINDOW = 128 << 20


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def compression(head: bytes) -> str:
    """ "gzip", "zstd" or "", from the first bytes of a file."""
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "")


def unpack(packed: Path, kind: str, target: Path, request: ValidationRequest, findings: Findings, gauge: Gauge) -> bool:
    """Unpacks a file; notes why when it cannot be done. `gauge` is told how many packed bytes were read."""
    size = packed.stat().st_size
    limit = min(request.max_unpacked_bytes, max(_FREE_BYTES, size * request.max_unpacked_ratio))
    try:
        with packed.open("rb") as source, target.open("wb") as out:
            return _copy(source, out, kind, limit, findings, gauge)
    except (zlib.error, zstandard.ZstdError):
        findings.add(file_reasons.CORRUPT, kind=kind, fatal=True)
        return False


def _copy(source: IO[bytes], out: IO[bytes], kind: str, limit: int, findings: Findings, gauge: Gauge) -> bool:
    unpacker, read, written = _unpacker(kind), 0, 0
    while data := source.read(_READ_BYTES[kind]):
        read += len(data)
        gauge(read)
        while data:
            if unpacker.eof:  # one more follows, as when files were joined
                data = data.lstrip(b"\0")  # gzip may be padded
                if not data:
                    break
                unpacker = _unpacker(kind)
            written += out.write(unpacker.decompress(data))
            data = unpacker.unused_data if unpacker.eof else b""
            if written > limit:
                findings.add(file_reasons.BOMB, kind=kind, limit=f"{limit:,} B", fatal=True)
                return False
    if not unpacker.eof:
        findings.add(file_reasons.TRUNCATED, kind=kind, fatal=True)
    return unpacker.eof


def _unpacker(kind: str) -> _Unpacker:
    if kind == "gzip":
        return zlib.decompressobj(31)
    return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
