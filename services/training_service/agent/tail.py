"""Reads a file that another process appends to: whole lines, each once."""

from collections.abc import Iterator
from pathlib import Path


class Tail:
    """One growing file. An unfinished last line is left for later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> Iterator[str]:
        """The lines that are new since the last call. None while the file is not there."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        yield from whole.decode("utf-8", "replace").splitlines()


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a file; nothing where there is none."""
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
