"""The token that a process sends with its calls."""

from pathlib import Path

import pytest

from services.core.channels import TokenFile
from services.core.errors import Unavailable


def test_a_new_token_is_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    tokens = TokenFile(path)
    with pytest.raises(Unavailable):
        tokens.read()
    path.write_text("first\n")
    assert tokens.read() == tokens.read() == "first"
    fresh = tmp_path / "fresh"
    fresh.write_text("second\n")
    fresh.rename(path)
    assert tokens.read() == "second"
