"""Files that only their owner reads, replaced whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_private(path: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """Replace `path` atomically; a reader sees the old content or the new one, and never a wider mode."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made 0600
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
