"""A model's tokenizer from a folder of its files. transformers is imported where one is loaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from services.text.problems import Problem, ProblemError

_UNUSED = ("torch", "tensorflow", "jax", "datasets", "sklearn")


def leave_out_frameworks() -> None:
    """For processes that load tokenizers only: without torch, transformers is there in a third of the time and with a
    tenth of the memory. A library left out looks as if it were not installed."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it would warn of the missing torch
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for name in _UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python says "not to be had"


def load(folder: Path) -> Any:
    """The tokenizer in a folder. Raises ProblemError."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        detail = first.replace(str(folder), folder.name)[:300]
        raise ProblemError(
            Problem(
                "TOKENIZER_UNREADABLE",
                "tokenizer",
                f"the model's tokenizer cannot be loaded ({detail}); import it again with its tokenizer.json",
                f"モデルのトークナイザーを読み込めません（{detail}）。tokenizer.json を含めて取り込み直してください",
            )
        ) from error
