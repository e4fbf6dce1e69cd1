"""The values of hyperparameters, from what people write to what the contract holds, and back."""

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from aift.errors import AiftError, invalid

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


def words(field: FieldDescriptor) -> tuple[str, ...]:
    """The values of a field that has names as values, such as "lora"; else none."""
    if field.enum_type is None:
        return ()
    prefix = _ENUM_PREFIXES[field.name]
    return tuple(value.name.removeprefix(prefix).lower() for value in field.enum_type.values if value.number)


def shown(field: FieldDescriptor, value: Any) -> object:
    """A message's value as people write it; `parse` takes it back."""
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name.removeprefix(_ENUM_PREFIXES[field.name]).lower()
    return list(value) if field.name == "lora_target_modules" else value


def is_off(value: object) -> bool:
    """Whether a value asks for nothing."""
    return value in ("", 0, False) or (isinstance(value, str) and value.lower() in _FALSE)


def parse(written: str, field: FieldDescriptor, value: object) -> object:
    """The value as the message takes it; `written` names it in errors. Raises AiftError INVALID_HYPERPARAMETER."""
    if field.enum_type is not None:
        return _enumerated(written, field, field.enum_type, value)
    if field.name == "lora_target_modules":
        return _strings(value)
    return _PARSERS[field.type](written, value)


def _enumerated(written: str, field: FieldDescriptor, enum: EnumDescriptor, value: object) -> int:
    word = str(value).lower()
    known = words(field)
    if word not in known:
        near = difflib.get_close_matches(word, known, n=1)
        raise _wrong(written, value, ", ".join(known), ", ".join(known), near[0] if near else "")
    return enum.values_by_name[_ENUM_PREFIXES[field.name] + word.upper()].number


def _strings(value: object) -> list[str]:
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return [text for part in parts if (text := str(part).strip())]


def _string(_: str, value: object) -> str:
    return str(value).strip()


def boolean(written: str, value: object) -> bool:
    """Raises AiftError INVALID_HYPERPARAMETER."""
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
    if number is None or not math.isfinite(number) or number != int(number):
        raise _wrong(written, value, "a whole number", "整数")
    if abs(number) >= 2**53:
        raise _wrong(written, value, "a whole number below 9007199254740992", "9007199254740992 未満の整数")
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
    FieldDescriptor.TYPE_BOOL: boolean,
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
