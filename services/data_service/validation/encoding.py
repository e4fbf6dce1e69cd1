"""What bytes are when they are not UTF-8 text: a kind of binary file, or text of another encoding."""

from __future__ import annotations

import codecs
from typing import Any, NamedTuple

from services.data_service.domain import TextEncoding
from services.data_service.validation.file_reasons import BINARY

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "PDF"),
    (b"\x1f\x8b", "gzip in gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd in another compression"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
    (b"ARROW1", "Arrow"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft Office 97–2003 (xls, doc)"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "RIFF (WAV, WebP)"),
    (b"ID3", "MP3"),
    (b"\x7fELF", "ELF"),
    (b"\x89HDF", "HDF5"),
    (b"\x93NUMPY", "NumPy"),
)
_ZIP = b"PK\x03\x04"
_ZIPPED: tuple[tuple[bytes, str], ...] = (
    (b"xl/", "Excel (xlsx)"),
    (b"word/", "Word (docx)"),
    (b"ppt/", "PowerPoint (pptx)"),
    (b"/data.pkl", "PyTorch"),
)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


class Encoding(NamedTuple):
    """An encoding: how people call it, the option that says so, and its name for Python."""

    name: str
    option: TextEncoding
    codec: str

    @property
    def values(self) -> dict[str, Any]:
        """What fills the texts of a reason."""
        return {"encoding": self.name, "option": self.option, "flag": self.option.lower().replace("_", "-")}


UTF_16 = Encoding("UTF-16", TextEncoding.DETECT, "utf-16")
CP932 = Encoding("Shift_JIS (CP932)", TextEncoding.CP932, "cp932")
EUC_JP = Encoding("EUC-JP", TextEncoding.EUC_JP, "euc_jp")
NAMED = {encoding.option: encoding for encoding in (CP932, EUC_JP)}


def is_utf16(head: bytes) -> bool:
    """Whether the file begins with a byte order mark of UTF-16."""
    return head.startswith(_UTF16)


def is_utf8(text: bytes) -> bool:
    """Whether it can be read as UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def binary_kind(head: bytes) -> str | None:
    """The kind of a file that is no text, from its first bytes; None when it may be text."""
    if head.startswith(_ZIP):
        return next((kind for mark, kind in _ZIPPED if mark in head), "ZIP")
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    controls = len(head) - len(head.translate(None, _CONTROL))
    if controls * 20 > len(head):
        return BINARY
    return BINARY if b"\0" in head[:8192] and not _is_text_with_slips(head) else None


def _is_text_with_slips(head: bytes) -> bool:
    """Whether bytes with NUL are else UTF-8, but not the UTF-16 of text that begins with an ASCII character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return b"\0" not in head[:2]


def guess(sample: bytes) -> Encoding | None:
    """The Japanese encoding of bytes that are not UTF-8: of those that can read all, the more Japanese one.

    A single character does not tell EUC-JP, in which most pairs of bytes beyond ASCII are one.
    """
    readable = [(_japanese_share(sample, CP932, least=1), CP932), (_japanese_share(sample, EUC_JP, least=2), EUC_JP)]
    share, encoding = max(readable, key=lambda pair: pair[0])
    return encoding if share > 0 else None


def _japanese_share(sample: bytes, encoding: Encoding, *, least: int) -> float:
    """Kana and kanji among the characters that are not ASCII; 0 with fewer of these than `least`.

    Half-width kana do not count: EUC-JP misread as Shift_JIS is full of them.
    """
    try:
        text = sample.decode(encoding.codec)
    except UnicodeDecodeError:
        return 0.0
    foreign = [character for character in text if character > "\x7f"]
    japanese = sum("\u3000" <= character <= "\u30ff" or "\u4e00" <= character <= "\u9fff" for character in foreign)
    return japanese / len(foreign) if len(foreign) >= least else 0.0
