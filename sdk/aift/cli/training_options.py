"""The options that describe a training, on `aift train` and `aift plan`: declared ones, and any known name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.descriptor import FieldDescriptor

from aift.errors import invalid
from aift.hyperparameter_help import HELP
from aift.hyperparameters import FIELDS, aliases_of, hyperparameters, overridden
from aift.job_file import TrainingFile, read_training_file, training_file
from aift.language import text
from aift.presets import preset
from aift.training.v1 import training_pb2

ANY_NAME = {"allow_extra_args": True, "ignore_unknown_options": True}
"""context_settings of a command that takes hyperparameters by any of their names."""

_PANEL = text(
    "Hyperparameters (also by their other names, such as --epochs or --batch_size)",
    "ハイパーパラメータ(--epochs、--batch_size などの別名も使えます)",
)

BaseModel = Annotated[
    str | None,
    typer.Option(
        "--base-model", help=text("baseModels/x (tiny-ja), or a Hub id.", "baseModels/x(例: tiny-ja)または Hub の ID。")
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help=text(
            "datasets/x, datasets/x/versions/n, or a file, which is uploaded.",
            "datasets/x、datasets/x/versions/n、またはファイル(アップロードされます)。",
        ),
    ),
]
EvalData = Annotated[
    str | None,
    typer.Option(
        "--eval-data",
        help=text(
            "Held-out rows: datasets/x, datasets/x/versions/n, or a file, which is uploaded.",
            "評価用データ: datasets/x、datasets/x/versions/n、またはファイル(アップロードされます)。",
        ),
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help=text("The model that gets the version (models/lora-…).", "結果を登録するモデル(省略時 models/lora-…)。"),
    ),
]
StartFrom = Annotated[
    str | None,
    typer.Option(
        "--start-from",
        help=text(
            "A trained version to go on from: models/x, models/x/versions/n, models/x@alias.",
            "続きから学習する学習済みモデル: models/x、models/x/versions/n、models/x@別名。",
        ),
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help=text(
            "Settings for a GPU of this memory, or the manual's 32B recipe: 8GB, 16GB, 24GB, 40GB, 80GB, 32B; others win.",
            "GPU メモリ別の推奨設定、または 32B のレシピ: 8GB、16GB、24GB、40GB、80GB、32B。他の指定が優先します。",
        ),
    ),
]
Gpu = Annotated[
    str,
    typer.Option(
        "--gpu",
        help=text(
            "Plan for GPUs that need not be there: A5000, 2xA5000, 4x24GB.",
            "手元にない GPU で見積もります: A5000、2xA5000、4x24GB。",
        ),
    ),
]
Fit = Annotated[
    bool,
    typer.Option(
        "--fit",
        help=text(
            "Apply the plan's remedies where it does not fit the memory.",
            "メモリに収まらない場合、見積もりの対策を適用します。",
        ),
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help=text(
            "YAML that describes the training, by the names of its options; they win.",
            "学習の設定を書いた YAML。項目名はオプションと同じで、コマンドの指定が優先します。",
        ),
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help=text("A hyperparameter by any name; repeatable.", "ハイパーパラメータ(別名も可)。複数指定可。"),
    ),
]

_DEEPSPEED = inspect.Parameter(
    "deepspeed_config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        str | None,
        typer.Option(
            "--deepspeed-config",
            "--deepspeed",
            metavar="FILE",
            help=text(
                "DeepSpeed's JSON, or large, ultra-large; checked, then taken as hyperparameters.",
                "DeepSpeed の JSON、または large、ultra-large。内容を確認し、ハイパーパラメータとして取り込みます。",
            ),
            rich_help_panel=_PANEL,
        ),
    ],
)


def with_hyperparameters(command: Callable[..., None]) -> Callable[..., None]:
    """The command with one more option a hyperparameter; it gets those given as its argument `settings`."""
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "settings"
    ]
    extra = [*(_option(name, descriptor) for name, descriptor in FIELDS.items()), _DEEPSPEED]

    def run(**arguments: Any) -> None:
        settings = {name: arguments.pop(name, None) for name in (*FIELDS, _DEEPSPEED.name)}
        command(**arguments, settings={name: value for name, value in settings.items() if value is not None})

    run.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *extra]}
    return run


def described(
    given: Mapping[str, object],
    settings: Mapping[str, object],
    *,
    config: Path | None,
    assignments: Sequence[str],
    rest: Sequence[str],
) -> TrainingFile:
    """One training from a preset, then a file, then --set and options by other names (`rest`), then `given`; the later
    wins.

    Raises AiftError, UNKNOWN_HYPERPARAMETER with the nearest name among them.
    """
    file = read_training_file(config) if config else TrainingFile()
    by_name = training_file({**_assigned(assignments), **_loose(rest)})
    fields = {name: value for name, value in vars(file).items() if name != "hyperparameters"}
    for layer in (vars(by_name), given):
        fields.update({name: value for name, value in layer.items() if value and name in fields})
    asked = overridden(file.hyperparameters, overridden(by_name.hyperparameters, settings))
    if name := str(fields.get("preset") or ""):
        asked = overridden(_usable(preset(name).settings, asked), asked)
    return TrainingFile(**fields, hyperparameters=asked)


def named(assignments: Sequence[str], rest: Sequence[str]) -> set[str]:
    """The names that --set and options by other names give values to. Raises AiftError USAGE."""
    return {*_assigned(assignments), *_loose(rest)}


def _usable(settings: Mapping[str, object], asked: Mapping[str, object]) -> Mapping[str, object]:
    """A preset's settings without those of adapters where all weights are to be trained, which has none."""
    if hyperparameters(asked).method != training_pb2.TRAINING_METHOD_FULL:
        return settings
    return {name: value for name, value in settings.items() if not name.startswith("lora_")}


def _option(name: str, descriptor: FieldDescriptor) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    is_flag = descriptor.type == FieldDescriptor.TYPE_BOOL
    declaration = typer.Option(
        f"{flag}/--no-{flag.removeprefix('--')}" if is_flag else flag,
        help=_help(name),
        metavar=None if is_flag else "VALUE",
        rich_help_panel=_PANEL,
    )
    kind: Any = bool | None if is_flag else str | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, declaration]
    )


def _help(name: str) -> str:
    others = ", ".join(aliases_of(name))
    return text(*HELP[name]) + (text(f" Also: {others}", f" 別名: {others}") if others else "")


def _assigned(assignments: Sequence[str]) -> dict[str, object]:
    pairs = [assignment.partition("=") for assignment in assignments]
    for assignment, (name, sign, _) in zip(assignments, pairs, strict=True):
        if not sign or not name:
            raise invalid(
                "--set",
                "USAGE",
                f"--set takes NAME=VALUE, not {assignment!r}.",
                f"--set は NAME=VALUE の形です: {assignment!r}",
            )
    return {name: value for name, _, value in pairs}


def _loose(rest: Sequence[str]) -> dict[str, object]:
    """Reads "--name value", "--name=value" and "--flag" of options that were not declared."""
    options: dict[str, object] = {}
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise invalid("argument", "USAGE", f"Unexpected argument: {word!r}", f"余分な引数です: {word!r}")
        name, sign, value = word.removeprefix("--").partition("=")
        takes_next = not sign and bool(words) and not words[0].startswith("--")
        options[name] = value if sign else words.pop(0) if takes_next else True
    return options
