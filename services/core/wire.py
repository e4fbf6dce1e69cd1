"""What a request may not contain: fields that we do not know, and NUL characters."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.core.errors import InvalidArgument, Violation

_STRICT = ("Create", "Update")


def is_strict(method: str) -> bool:
    """Whether requests of "/package.Service/Method" are checked: those that create or update."""
    return method.rpartition("/")[2].startswith(_STRICT)


def check(request: Message) -> None:
    """Raises InvalidArgument when a newer client says something that we would not obey, or text holds NUL."""
    violations = list(_violations(request, ""))
    if violations:
        raise InvalidArgument(violations)


def _violations(message: Message, path: str) -> Iterator[Violation]:
    unknown = UnknownFieldSet(message)
    for number in (unknown[index].field_number for index in range(len(unknown))):
        yield Violation(
            f"{path}#{number}",
            "UNKNOWN_FIELD",
            f"Field number {number} is not known to this server; it is older than the client.",
            f"フィールド番号 {number} はこのサーバーでは未対応です。サーバーがクライアントより古いバージョンです。",
        )
    for field, value in message.ListFields():
        yield from _of_field(field, value, path + field.name)


def _of_field(field: FieldDescriptor, value: Any, path: str) -> Iterator[Violation]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key, item in value.items():
            yield from _of_value(key, f"{path}[{key}]")
            yield from _of_value(item, f"{path}[{key}]")
    elif field.is_repeated:
        for index, item in enumerate(value):
            yield from _of_value(item, f"{path}[{index}]")
    else:
        yield from _of_value(value, path)


def _of_value(value: Any, path: str) -> Iterator[Violation]:
    if isinstance(value, Message):
        yield from _violations(value, f"{path}.")
    elif isinstance(value, str) and "\0" in value:
        yield Violation(
            path, "NUL_CHARACTER", "Text must not contain NUL.", "文字列に NUL 文字を含めることはできません。"
        )
