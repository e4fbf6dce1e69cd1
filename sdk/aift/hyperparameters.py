"""The names of hyperparameters: Hugging Face's, and those that the manual and other tools use for the same things.

One table for the command line, YAML files and the page. Canonical are the fields of aift.training.v1.Hyperparameters.
"""

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from typing import Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from aift.deepspeed_file import PLACES, TRAININGS, refuse_other
from aift.errors import AiftError, invalid
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
_ENUM_PREFIXES = {
    "method": "TRAINING_METHOD_",
    "lr_scheduler_type": "LEARNING_RATE_SCHEDULE_",
    "objective": "TRAINING_OBJECTIVE_",
    "offload_optimizer": "OFFLOAD_DEVICE_",
    "offload_param": "OFFLOAD_DEVICE_",
    "optim": "OPTIMIZER_",
}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def aliases_of(name: str) -> tuple[str, ...]:
    """The other names of a hyperparameter."""
    return tuple(alias for alias, target in ALIASES.items() if target == name)


def choices(name: str) -> tuple[str, ...]:
    """The values of a hyperparameter that has names as values, such as "lora"; else none."""
    enum = FIELDS[name].enum_type
    if enum is None:
        return ()
    prefix = _ENUM_PREFIXES[name]
    return tuple(value.name.removeprefix(prefix).lower() for value in enum.values if value.number)


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
            flags[name] = _boolean(written, value)
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
    settings: dict[str, object] = {}
    for field, value in message.ListFields():
        if field.enum_type is not None:
            prefix = _ENUM_PREFIXES[field.name]
            settings[field.name] = field.enum_type.values_by_number[value].name.removeprefix(prefix).lower()
        else:
            settings[field.name] = list(value) if field.name == "lora_target_modules" else value
    return settings


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
    parsed = _parse(written, FIELDS[name], value)
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
            refuse_other(name, _parse(TRAININGS[name], FIELDS[name], asked), values[name])


def _shared_out(sharing: Mapping[str, tuple[str, object]]) -> dict[str, object]:
    on = {name: _boolean(*sharing[name]) for name in ("use_deepspeed", "cpu_offload") if name in sharing}
    _, config = sharing.get("deepspeed_config", ("", ""))
    if on.get("use_deepspeed") is False:
        return {}
    return shared_out(on.get("use_deepspeed", False), str(config), on.get("cpu_offload", False))


def _refuse_unless_off(written: str, name: str, value: object) -> None:
    if value in ("", 0, False) or (isinstance(value, str) and value.lower() in _FALSE):
        return
    en, ja = UNAVAILABLE[name]
    raise invalid(written, "UNAVAILABLE_HYPERPARAMETER", f"{written}: {en}", f"{written}: {ja}")


def _parse(written: str, field: FieldDescriptor, value: object) -> object:
    if field.enum_type is not None:
        return _enumerated(written, field, field.enum_type, value)
    if field.name == "lora_target_modules":
        return _strings(value)
    return _PARSERS[field.type](written, value)


def _enumerated(written: str, field: FieldDescriptor, enum: EnumDescriptor, value: object) -> int:
    word = str(value).lower()
    known = choices(field.name)
    if word not in known:
        near = difflib.get_close_matches(word, known, n=1)
        raise _wrong(written, value, ", ".join(known), ", ".join(known), near[0] if near else "")
    return enum.values_by_name[_ENUM_PREFIXES[field.name] + word.upper()].number


def _strings(value: object) -> list[str]:
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return [text for part in parts if (text := str(part).strip())]


def _string(_: str, value: object) -> str:
    return str(value).strip()


def _boolean(written: str, value: object) -> bool:
    word = str(value).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _wrong(written, value, "true, false", "true, false")


def _number(written: str, value: object) -> float:
    number = _read(value)
    if number is None:
        raise _wrong(written, value, "a number", "数値")
    return number


def _integer(written: str, value: object) -> int:
    number = _read(value)
    if number is None or not math.isfinite(number) or number != int(number) or abs(number) >= 2**53:
        raise _wrong(written, value, "a whole number", "整数")
    return int(number)


def _small_integer(written: str, value: object) -> int:
    number = _integer(written, value)
    if not -(2**31) <= number < 2**31:
        raise _wrong(written, value, "a whole number below 2147483648", "2147483648 未満の整数")
    return number


def _read(value: object) -> float | None:
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except ValueError:
        return None


_PARSERS: Final[Mapping[int, Callable[[str, object], object]]] = {
    FieldDescriptor.TYPE_DOUBLE: _number,
    FieldDescriptor.TYPE_INT32: _small_integer,
    FieldDescriptor.TYPE_INT64: _integer,
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_STRING: _string,
}


def _wrong(written: str, value: object, wanted_en: str, wanted_ja: str, near: str = "") -> AiftError:
    hint_en, hint_ja = (f" Did you mean {near}?", f" {near} のことですか。") if near else ("", "")
    return invalid(
        written,
        "INVALID_HYPERPARAMETER",
        f"{written} is {value!r}; it takes: {wanted_en}.{hint_en}",
        f"{written} の値 {value!r} は使えません。使える値: {wanted_ja}。{hint_ja}",
    )
