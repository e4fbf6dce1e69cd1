"""Writes docs/CONFIG_REFERENCE.md from the settings classes: `python -m services.core.settings_reference`.

Services are found by name, `services.*.settings`; the kernel imports none of them otherwise.
"""

import pkgutil
import sys
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from inspect import get_annotations

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

import services
from services.core.settings import CONFIG_FILE_ENV, ENV_PREFIX, CacheSettings, ProcessSettings, Settings

_HEAD = f"""# Settings

Every process of AIFT reads its settings from environment variables `{ENV_PREFIX}*` and, below them, from the YAML
file that `{CONFIG_FILE_ENV}` names: the same names in lower case without `{ENV_PREFIX}`, such as `log_level: DEBUG`.
A wrong value ends the process with status 78 and one line a mistake. Written by `make docs`; do not edit.
"""
_COLUMNS = "| variable | type | default | meaning |\n|---|---|---|---|"


def classes() -> Iterator[type[BaseSettings]]:
    """The settings classes of all packages, in order of their names, the shared ones first."""
    yield ProcessSettings
    yield Settings
    yield CacheSettings
    for module in sorted(pkgutil.iter_modules(services.__path__), key=lambda found: found.name):
        name = f"{services.__name__}.{module.name}.settings"
        if module.name != "core" and find_spec(name) is not None:
            yield from _defined_in(import_module(name))


def _defined_in(module: types.ModuleType) -> Iterator[type[BaseSettings]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.__name__:
            yield value


def own_fields(kind: type[BaseSettings]) -> dict[str, FieldInfo]:
    """The fields that a class adds or changes."""
    own = get_annotations(kind)
    return {name: field for name, field in kind.model_fields.items() if name in own}


def render() -> str:
    """The whole document."""
    return "\n".join([_HEAD, *(_section(kind) for kind in classes())])


def _section(kind: type[BaseSettings]) -> str:
    prefix = kind.model_config.get("env_prefix", "")
    rows = [_row(f"{prefix}{name.upper()}", field) for name, field in own_fields(kind).items()]
    above = [base.__name__ for base in kind.__bases__ if issubclass(base, BaseSettings) and base is not BaseSettings]
    also = f" Also all of {' and '.join(above)}." if above else ""
    summary = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return "\n".join([f"## {kind.__name__}\n", f"{summary}{also}\n", _COLUMNS, *rows, ""])


def _row(variable: str, field: FieldInfo) -> str:
    if not field.description:
        raise ValueError(f"the setting {variable} has no description")
    cells = [f"`{variable}`", _type(field.annotation), _default(field), field.description]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not types.NoneType)
    if origin is not None:
        return f"{getattr(origin, '__name__', origin)} of {', '.join(_type(one) for one in arguments)}"
    names = {"str": "text", "bool": "true or false", "int": "number", "float": "number", "SecretStr": "secret text"}
    given = getattr(annotation, "__name__", str(annotation))
    return names.get(given, given.lower())


def _default(field: FieldInfo) -> str:
    shown = field.json_schema_extra.get("shown_default") if isinstance(field.json_schema_extra, dict) else None
    if shown is not None:
        return str(shown)
    if field.default_factory is not None:
        return "computed"
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return "unset"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    text = str(field.default)
    return f"`{text}`" if text else "empty"


if __name__ == "__main__":
    sys.stdout.write(render())
