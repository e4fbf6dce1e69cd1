"""Decoded JSON into dataclasses, strictly: whatever is unknown, missing or of another type is a problem that is named.

Standard library only.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

from services.text.problems import Problem

T = TypeVar("T")


def build(cls: type[T], value: object, path: str, problems: list[Problem]) -> T | None:
    """Builds a dataclass, noting every problem on the way; None where one keeps it from being built."""
    if not isinstance(value, Mapping):
        problems.append(_wrong_type(path, dict, value))
        return None
    hints, known = typing.get_type_hints(cls), [item.name for item in fields(typing.cast(Any, cls))]
    before = len(problems)
    problems += [_unknown(path, str(name), known) for name in value if name not in known]
    given = {n: _value(hints[n], value[n], _join(path, n), problems) for n in known if n in value}
    missing = [item.name for item in fields(typing.cast(Any, cls)) if item.name not in given and _required(item)]
    problems += [_missing(_join(path, name)) for name in missing]
    return None if len(problems) > before else cls(**given)


def _value(kind: Any, value: object, path: str, problems: list[Problem]) -> Any:
    if isinstance(kind, types.UnionType):
        return None if value is None else _value(typing.get_args(kind)[0], value, path, problems)
    if is_dataclass(kind):
        return build(typing.cast(type, kind), value, path, problems)
    origin = typing.get_origin(kind) or kind
    if origin is typing.Literal:
        return _choice(typing.get_args(kind), value, path, problems)
    if origin is tuple:
        return _strings(value, path, problems)
    if origin is float and type(value) is int:
        return float(value)
    if type(value) is not origin:
        problems.append(_wrong_type(path, origin, value))
    return value


_KINDS = {
    int: ("an integer", "整数"),
    float: ("a number", "数値"),
    bool: ("true or false", "true か false"),
    str: ("a string", "文字列"),
    dict: ("an object", "オブジェクト"),
    tuple: ("a list of strings", "文字列の配列"),
}


def _choice(choices: tuple[Any, ...], value: object, path: str, problems: list[Problem]) -> Any:
    if value not in choices:
        names = ", ".join(choices)
        problems.append(_not(path, f"one of {names}", f"{names} のどれか", value))
    return value


def _strings(value: object, path: str, problems: list[Problem]) -> tuple[str, ...]:
    if isinstance(value, str):  # a lone string would else be read as its characters
        problems.append(_wrong_type(path, tuple, value))
        return ()
    items = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(item, str) for item in items):
        problems.append(_wrong_type(path, tuple, value))
    return items


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _unknown(path: str, name: str, known: list[str]) -> Problem:
    field_path = _join(path, name)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    en = f"{field_path} is unknown" + (f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}")
    ja = f"{field_path} という項目はありません" + (f"。{close[0]} ではありませんか" if close else "")
    return Problem("UNKNOWN_FIELD", field_path, en, ja)


def _missing(path: str) -> Problem:
    return Problem("MISSING_FIELD", path, f"{path} is missing", f"{path} がありません")


def _wrong_type(path: str, kind: type, value: object) -> Problem:
    return _not(path, *_KINDS[kind], value)


def _not(path: str, en: str, ja: str, value: object) -> Problem:
    shown = json.dumps(value, ensure_ascii=False, default=str)[:100]
    return Problem(
        "WRONG_TYPE",
        path,
        f"{path or 'the job file'} must be {en}, not {shown}",
        f"{path or 'ジョブファイル'} は{ja}でなければなりません（今の値: {shown}）",
    )
