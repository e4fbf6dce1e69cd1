"""The names of hyperparameters: Hugging Face's, and those that the manual and other tools use for the same things.

One table for the command line, YAML files and the page. Canonical are the fields of aift.training.v1.Hyperparameters.
"""

import difflib
from collections.abc import Collection, Mapping
from typing import Final

from google.protobuf.descriptor import FieldDescriptor

from aift.deepspeed_file import PLACES, TRAININGS, refuse_other
from aift.errors import AiftError, invalid
from aift.hyperparameter_values import boolean, is_off, parse, shown, words
from aift.sharing import SHARING, SHARING_ALIASES, on_disk, shared_out
from aift.training.v1 import training_pb2

ALIASES: Final[Mapping[str, str]] = {
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "micro_batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "cutoff_len": "max_length",
    "sequence_len": "max_length",
    "max_seq_length": "max_length",
    "lora_rank": "lora_r",
    "qlora_r": "lora_r",
    "qlora_alpha": "lora_alpha",
    "qlora_dropout": "lora_dropout",
    "target_modules": "lora_target_modules",
    "lr_scheduler": "lr_scheduler_type",
    "use_gradient_checkpointing": "gradient_checkpointing",
    "random_seed": "seed",
    "val_set_size": "eval_split",
    "stage": "objective",
    "pref_beta": "beta",
    "dpo_beta": "beta",
    "neftune_alpha": "neftune_noise_alpha",
    "warmup": "warmup_steps",
    "optimizer": "optim",
}
"""Another name → the canonical one, the same value."""

METHOD_FLAGS: Final[Mapping[str, str]] = {
    "use_lora": "lora",
    "use_qlora": "qlora",
    "use_4bit": "qlora",
    "load_in_4bit": "qlora",
}
"""A name that is true or false → the method that it asks for when true."""

_BY_HARDWARE = (
    "It is chosen by the hardware; leave it out.",
    "ハードウェアに合わせて自動で選ばれます。指定を外してください。",
)

UNAVAILABLE: Final[Mapping[str, tuple[str, str]]] = {
    "fp16": _BY_HARDWARE,
    "bf16": _BY_HARDWARE,
    "use_flash_attention": _BY_HARDWARE,
}
"""Names that people know and that cannot be asked for → why, in English and Japanese. False asks for nothing."""

FIELDS: Final[Mapping[str, FieldDescriptor]] = training_pb2.Hyperparameters.DESCRIPTOR.fields_by_name


def aliases_of(name: str) -> tuple[str, ...]:
    """The other names of a hyperparameter."""
    return tuple(alias for alias, target in ALIASES.items() if target == name)


def choices(name: str) -> tuple[str, ...]:
    """The values of a hyperparameter that has names as values, such as "lora"; else none."""
    return words(FIELDS[name])


def known_names() -> frozenset[str]:
    """Every name that this table knows."""
    return frozenset({*FIELDS, *ALIASES, *METHOD_FLAGS, *SHARING, *SHARING_ALIASES, *UNAVAILABLE})


def unknown_name(name: str, known: Collection[str]) -> AiftError:
    """The error for a name that nobody knows, with the nearest one that is known."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    hint_en, hint_ja = (f" Did you mean {near[0]}?", f" {near[0]} のことですか。") if near else ("", "")
    return invalid(
        name,
        "UNKNOWN_HYPERPARAMETER",
        f"There is no hyperparameter {name!r}.{hint_en}",
        f"{name!r} というハイパーパラメータはありません。{hint_ja}",
    )


def hyperparameters(settings: Mapping[str, object]) -> training_pb2.Hyperparameters:
    """The message for settings by any of their names; values may be text, as a command line has them.

    None means not set. Raises AiftError UNKNOWN_HYPERPARAMETER, UNAVAILABLE_HYPERPARAMETER,
    INVALID_HYPERPARAMETER (not of its type) or CONFLICTING_HYPERPARAMETERS. Ranges are the service's to check.
    """
    values: dict[str, object] = {}
    flags: dict[str, bool] = {}
    sharing: dict[str, tuple[str, object]] = {}
    for written, value in settings.items():
        name = _plain(written)
        if value is None:
            continue
        if name in METHOD_FLAGS:
            flags[name] = boolean(written, value)
        elif name in SHARING:
            sharing[name] = (written, value)
        elif name in UNAVAILABLE:
            _refuse_unless_off(written, name, value)
        else:
            _put(values, written, _known(name), value)
    if method := _method_of(flags):
        _put(values, "method", "method", method)
    _share_out(values, sharing)
    return training_pb2.Hyperparameters(**values)  # type: ignore[arg-type]


def as_settings(message: training_pb2.Hyperparameters) -> dict[str, object]:
    """The settings of a message by their canonical names; hyperparameters() makes the same message of them."""
    return {field.name: shown(field, value) for field, value in message.ListFields()}


def overridden(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Both settings together; what `over` sets is dropped from `under` by whatever name it stands there."""
    taken = {canonical(name) for name, value in over.items() if value is not None}
    return {name: value for name, value in under.items() if canonical(name) not in taken} | dict(over)


def canonical(written: str) -> str:
    """The canonical name for any; one that nobody knows stays as it is."""
    name = _plain(written)
    return "method" if name in METHOD_FLAGS else ALIASES.get(name, name)


def _plain(written: str) -> str:
    name = written.strip().lower().replace("-", "_")
    return SHARING_ALIASES.get(name, name)


def _known(name: str) -> str:
    known = ALIASES.get(name, name)
    if known not in FIELDS:
        raise unknown_name(name, known_names())
    return known


def _put(values: dict[str, object], written: str, name: str, value: object) -> None:
    parsed = parse(written, FIELDS[name], value)
    if name in values and values[name] != parsed:
        raise invalid(
            written,
            "CONFLICTING_HYPERPARAMETERS",
            f"{written} asks for another {name} than an earlier setting does.",
            f"{written} が、先に指定された {name} と食い違っています。",
        )
    values[name] = parsed


def _method_of(flags: Mapping[str, bool]) -> str:
    asked = {METHOD_FLAGS[name] for name, on in flags.items() if on}
    if "qlora" in asked:
        return "qlora"
    if "lora" in asked:
        return "lora"
    return "full" if flags.get("use_lora") is False else ""


def _share_out(values: dict[str, object], sharing: Mapping[str, tuple[str, object]]) -> None:
    """Adds what the names in SHARING ask for to what is asked for by its own names."""
    shared = _shared_out(sharing)
    if values.get("disk_offload_dir") and not values.keys() & {*PLACES} and "nvme" not in shared.values():
        shared |= on_disk(four_bits=values.get("method") == training_pb2.TRAINING_METHOD_QLORA)
    for name, asked in shared.items():
        if name not in values:
            _put(values, name, name, asked)
        elif name in TRAININGS:
            refuse_other(name, parse(TRAININGS[name], FIELDS[name], asked), values[name])


def _shared_out(sharing: Mapping[str, tuple[str, object]]) -> dict[str, object]:
    on = {name: boolean(*sharing[name]) for name in ("use_deepspeed", "cpu_offload") if name in sharing}
    _, config = sharing.get("deepspeed_config", ("", ""))
    if on.get("use_deepspeed") is False:
        return {}
    return shared_out(on.get("use_deepspeed", False), str(config), on.get("cpu_offload", False))


def _refuse_unless_off(written: str, name: str, value: object) -> None:
    if is_off(value):
        return
    en, ja = UNAVAILABLE[name]
    raise invalid(written, "UNAVAILABLE_HYPERPARAMETER", f"{written}: {en}", f"{written}: {ja}")
