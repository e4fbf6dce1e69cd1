"""Text of other encodings, rewritten as UTF-8 into the working folder."""

from __future__ import annotations

import codecs
from pathlib import Path

from services.data_service.validation import file_reasons
from services.data_service.validation.encoding import Encoding
from services.data_service.validation.excerpt import excerpt_bytes
from services.data_service.validation.findings import Findings, whole_line
from services.data_service.validation.meter import Gauge

_READ_BYTES = 1 << 20


def transcode(file: Path, encoding: Encoding, target: Path, findings: Findings, gauge: Gauge) -> bool:
    """Rewrites a file; notes the first byte that is not of the encoding. `gauge` is told how many were read."""
    decoder = codecs.getincrementaldecoder(encoding.codec)()
    line, offset = 1, 0
    with file.open("rb") as source, target.open("wb") as out:
        while True:
            data = source.read(_READ_BYTES)
            kept = len(decoder.getstate()[0])  # the beginning of a character from the piece before
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(encoding.codec, errors="ignore")
                shown = excerpt_bytes(error.object[error.start :], "ascii")
                at = whole_line(line + before.count("\n"), offset - kept + error.start, shown)
                findings.add(file_reasons.UNDECODABLE, at, encoding=encoding.name, fatal=True)
                return False
            line += text.count("\n")
            offset += len(data)
            gauge(offset)
            out.write(text.encode("utf-8", "surrogatepass"))
            if not data:
                return True
