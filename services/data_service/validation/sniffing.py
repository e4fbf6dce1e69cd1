"""A look at the beginning of a file: is it text that can be read line by line at all?"""

from __future__ import annotations

from services.data_service.report import Example
from services.data_service.validation import reasons
from services.data_service.validation.encoding import UTF_16, binary_kind, is_utf16
from services.data_service.validation.excerpt import excerpt_bytes
from services.data_service.validation.findings import Findings

HEAD_BYTES = 64 << 10


def sniff(head: bytes, findings: Findings) -> bool:
    """Whether the lines are worth reading; notes why not. `head` is the first 64 KiB."""
    if is_utf16(head):
        shown = excerpt_bytes(head[: len(head) // 2 * 2], UTF_16.codec)
        at = Example(line=1, column=1, byte_offset=0, field="", excerpt=shown)
        findings.add(reasons.NOT_UTF8, at, encoding=UTF_16.name, iconv=UTF_16.iconv)
        return False
    kind = binary_kind(head)
    if kind is not None:
        at = Example(line=1, column=1, byte_offset=0, field="", excerpt=excerpt_bytes(head, "ascii"))
        findings.add(reasons.NOT_TEXT, at, kind=kind, kind_ja=reasons.BINARY_JA if kind == reasons.BINARY else kind)
        return False
    return True
