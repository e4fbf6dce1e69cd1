"""A training described in a file or by options: what it is made from, and its hyperparameters, by any known name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import yaml

from aift.errors import AiftError, invalid
from aift.hyperparameters import canonical, known_names, unknown_name

NAMES: Final[Mapping[str, str]] = {
    "model_name": "base_model",
    "model_name_or_path": "base_model",
    "adapter_name_or_path": "start_from",
    "dataset": "data",
    "dataset_path": "data",
    "dataset_version": "data",
    "eval_dataset": "eval_data",
    "eval_dataset_version": "eval_data",
    "output_dir": "output",
    "num_processes": "processes",
}
"""Another name → the field of TrainingFile."""


@dataclass(frozen=True, kw_only=True)
class TrainingFile:
    """One training. Fields that are not given are empty."""

    base_model: str = ""
    """"baseModels/x", a short name or a Hub id."""
    start_from: str = ""
    """A trained version to go on from, "models/x[/versions/n]" or "models/x@alias"; the base model may then be left out."""
    data: str = ""
    """A file of this machine, "datasets/x" or "datasets/x/versions/n"."""
    eval_data: str = ""
    """Held-out rows, "datasets/x[/versions/n]"."""
    model: str = ""
    """The model that gets the version."""
    output: str = ""
    """A folder of this machine that gets the result too."""
    display_name: str = ""
    sample_prompts: tuple[str, ...] = ()
    processes: int = 0
    """Ranks that train together; 0: one a GPU."""
    priority: int = 0
    """1 to 100, higher goes first; 0 means 50."""
    job_id: str = ""
    """The job's id; empty: made."""
    wait: bool = False
    """Whether the command waits until the job has ended."""
    fit: bool = False
    """Whether the plan's remedies are applied where it does not fit the memory."""
    preset: str = ""
    """Settings to begin with, "24GB" or "32B" (see aift.presets); `hyperparameters` win."""
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    """By any of their names."""


_FIELDS: Final[Mapping[str, object]] = {entry.name: entry.type for entry in fields(TrainingFile)}
_WORDS: Final[Mapping[object, tuple[str, str]]] = {
    int: ("a whole number", "整数"),
    bool: ("true or false", "true か false"),
    str: ("a text", "文字列"),
    tuple[str, ...]: ("a list of texts", "文字列のリスト"),
}
_TRUTHS: Final[Mapping[str, bool]] = {"true": True, "false": False}


def read_training_file(path: Path) -> TrainingFile:
    """Reads YAML (or JSON). Hyperparameters may stand beside the rest or under "hyperparameters".

    Raises AiftError FILE_NOT_FOUND, INVALID_YAML, UNKNOWN_HYPERPARAMETER or INVALID_VALUE.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise invalid(
            "config", "FILE_NOT_FOUND", f"There is no file {path}.", f"ファイル {path} がありません。"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path} is not YAML: {error}"
        raise invalid("config", "INVALID_YAML", message, f"{path} は YAML として読めません: {error}") from error
    if not isinstance(content, dict):
        message = f"{path} does not hold names with values."
        raise invalid("config", "INVALID_YAML", message, f"{path} の内容が「名前: 値」の形ではありません。")
    return training_file(content)


def training_file(content: Mapping[str, object]) -> TrainingFile:
    """Sorts names into fields and hyperparameters. Raises AiftError as of read_training_file."""
    known: dict[str, object] = {}
    settings: dict[str, object] = {}
    for written, value in content.items():
        name = str(written).strip().lower().replace("-", "_")
        if name == "hyperparameters" and isinstance(value, Mapping):
            settings.update({str(key): entry for key, entry in value.items()})
        elif (target := NAMES.get(name, name)) in _FIELDS:
            known[target] = _checked(target, value)
        elif name in known_names():
            settings[name] = value
        else:
            raise unknown_name(str(written), {*known_names(), *NAMES, *_FIELDS})
    return TrainingFile(**known, hyperparameters=settings)  # type: ignore[arg-type]


def target_of(written: str) -> str:
    """What a name stands for: a field of TrainingFile or a hyperparameter by its canonical name."""
    name = written.strip().lower().replace("-", "_")
    return NAMES.get(name) or canonical(name)


def _checked(name: str, value: object) -> object:
    """The value by the field's type; from a command line all comes as text."""
    kind, word = _FIELDS[name], str(value).strip().lower()
    if kind is bool and word in _TRUTHS:
        return _TRUTHS[word]
    if kind is int and not isinstance(value, (bool, float)) and word.removeprefix("-").isdecimal():
        return int(word)
    if kind is str and isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and name == "sample_prompts":
        return tuple(str(entry) for entry in value)
    raise _wrong(name, value, *_WORDS.get(kind, ("names with values", "「名前: 値」の形")))


def _wrong(name: str, value: object, en: str, ja: str) -> AiftError:
    return invalid(
        name,
        "INVALID_VALUE",
        f"{name} is {value!r}; give {en}.",
        f"{name} の値 {value!r} は使えません。{ja}を指定してください。",
    )
