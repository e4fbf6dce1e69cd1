"""A process's output as files of bounded size."""

from pathlib import Path
from typing import IO

SIZE_BYTES = 10 * 1024 * 1024
KEPT = 4  # older files beside the current one: NAME.log.1 is the newest of them


class RotatedLog:
    """Appends bytes to `path`; at SIZE_BYTES the file becomes `path`.1 and a new one begins."""

    def __init__(self, path: Path, *, size_bytes: int = SIZE_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._size_bytes = size_bytes
        self._kept = kept
        self._file = self._open()

    def write(self, line: bytes) -> None:
        """Append one line; it is on its way to the disk when this returns."""
        if self._file.tell() + len(line) > self._size_bytes and self._file.tell() > 0:
            self._rotate()
        self._file.write(line)

    def close(self) -> None:
        """Close the current file."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        return self.path.open("ab", buffering=0)

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._kept, 0, -1):
            older = self.path if number == 1 else self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._file = self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines of a log, going back into its older files where the current one is short."""
    found: list[str] = []
    for file in (path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT + 1))):
        if len(found) >= lines or not file.exists():
            break
        with file.open(encoding="utf-8", errors="replace") as opened:
            found = [line.rstrip("\n") for line in opened.readlines()[-(lines - len(found)) :]] + found
    return found
