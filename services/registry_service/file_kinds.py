"""Which files may belong to a model, and which of them hold the weights that transformers would load."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from services.core.errors import InvalidArgument, Violation

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MAX_FILES = 1000

_SUFFIXES = frozenset({".safetensors", ".json", ".model", ".txt", ".jinja", ".tiktoken", ".md"})
_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"})
_NOTICES = ("LICENSE", "LICENCE", "NOTICE")
_SHARD = re.compile(r"model-\d{1,6}-of-\d{1,6}\.safetensors")
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_PATH = re.compile(rf"{_PART}(?:/{_PART}){{0,7}}")


def is_pickle(path: str) -> bool:
    """Whether a file can run code when it is loaded."""
    return PurePosixPath(path).suffix.lower() in _PICKLES


def belongs(path: str) -> bool:
    """Whether a file is of a kind that models consist of."""
    name = PurePosixPath(path)
    return name.suffix.lower() in _SUFFIXES or name.name.upper().startswith(_NOTICES)


def weights_of(paths: Iterable[str]) -> list[str]:
    """The weight files that transformers would load, and no copies of them in other layouts."""
    there = set(paths)
    if WEIGHTS in there:
        return [WEIGHTS]
    return sorted(path for path in there if _SHARD.fullmatch(path))


def wanted_of_hub(paths: Sequence[str]) -> list[str]:
    """What to take from a repository of the Hub: the files of its top folder that make the model, weights once."""
    top = [path for path in paths if "/" not in path and _PATH.fullmatch(path) and belongs(path)]
    weights = weights_of(top)
    rest = [path for path in top if not path.endswith(".safetensors")]
    if weights == [WEIGHTS]:
        rest = [path for path in rest if path != WEIGHTS_INDEX]
    return sorted(rest) + weights


def check_paths(paths: Sequence[str], *, field: str) -> None:
    """Raises InvalidArgument naming each file that may not be part of a model; `field` is the list's."""
    if not 1 <= len(paths) <= MAX_FILES:
        raise InvalidArgument.field(
            field,
            "FILE_COUNT",
            f"Must hold 1 to {MAX_FILES} files, got {len(paths)}.",
            f"ファイルは 1〜{MAX_FILES} 個にしてください (指定数: {len(paths)})。",
        )
    seen: set[str] = set()
    violations = []
    for index, path in enumerate(paths):
        wrong = _wrong(path, seen)
        seen.add(path)
        if wrong is not None:
            violations.append(Violation(f"{field}[{index}].path", *wrong))
    if violations:
        raise InvalidArgument(violations)


def _wrong(path: str, seen: set[str]) -> tuple[str, str, str] | None:
    """Reason, English and Japanese of what is wrong with a path, None when nothing is."""
    if len(path) > 255 or _PATH.fullmatch(path) is None or ".." in path:
        return (
            "INVALID_PATH",
            'Must be a relative path of letters, digits, "._+-" and "/".',
            "英数字と「._+-」「/」からなる相対パスを指定してください。",
        )
    if path in seen:
        return "DUPLICATE_PATH", f"{path} is named twice.", f"{path} が二重に指定されています。"
    if is_pickle(path):
        return (
            "UNSAFE_MODEL_FILE",
            f"{path} is a pickle, which can run code. Save the weights as safetensors.",
            f"{path} はコードを実行できる pickle 形式です。safetensors で保存し直してください。",
        )
    if not belongs(path):
        return (
            "UNKNOWN_MODEL_FILE",
            f"{path} is not a file of a model: safetensors, JSON and tokenizer files are.",
            f"{path} はモデルのファイルではありません (safetensors、JSON、トークナイザーのみ)。",
        )
    return None
