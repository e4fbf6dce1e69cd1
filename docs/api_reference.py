"""Writes the API reference from the contracts: ``python docs/api_reference.py IMAGE.binpb > docs/API_REFERENCE.md``.

The image is a FileDescriptorSet with source information, as ``buf build`` writes it; every word comes from the
comments in protos/.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from aift.common.v1.auth_pb2 import Role, allowed_roles
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

# Field numbers of FileDescriptorProto and below, which make up the paths of comments.
_MESSAGE, _ENUM, _SERVICE, _FIELD, _METHOD, _VALUE, _NESTED = 4, 5, 6, 2, 2, 2, 3
_TYPES = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}


class Comments:
    """The leading comments of a file by path."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def at(self, *path: int) -> str:
        """The comment as one line."""
        lines = (line.strip() for line in self._by_path.get(path, "").splitlines())
        return " ".join(line for line in lines if line and not line.startswith("buf:lint")).replace("|", "\\|")


def field_type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """The type as a reader of protos knows it."""
    name = field.type_name.removeprefix(".") or _TYPES[field.type]
    entry = next(
        (n for n in message.nested_type if n.options.map_entry and field.type_name.endswith(f".{n.name}")), None
    )
    if entry is not None:
        key, value = entry.field
        return f"map<{field_type(entry, key)}, {field_type(entry, value)}>"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def service_lines(service: ServiceDescriptorProto, index: int, comments: Comments) -> Iterator[str]:
    """A service with its RPCs."""
    yield f"## {service.name}\n"
    yield comments.at(_SERVICE, index) + "\n"
    for number, method in enumerate(service.method):
        yield from method_lines(method, comments.at(_SERVICE, index, _METHOD, number))


def method_lines(method: MethodDescriptorProto, comment: str) -> Iterator[str]:
    """One RPC: signature, roles, meaning."""
    request = ("stream " if method.client_streaming else "") + method.input_type.split(".")[-1]
    response = ("stream " if method.server_streaming else "") + method.output_type.split(".")[-1]
    roles = ", ".join(
        Role.Name(role).removeprefix("ROLE_").lower() for role in method.options.Extensions[allowed_roles]
    )
    yield f"### {method.name}\n"
    yield f"`{method.name}({request}) returns ({response})` · {roles}\n"
    yield comment + "\n"


def message_lines(
    message: DescriptorProto, path: tuple[int, ...], comments: Comments, prefix: str = ""
) -> Iterator[str]:
    """A message and what is nested in it, as tables."""
    yield f"### {prefix}{message.name}\n"
    yield comments.at(*path) + "\n"
    if message.field:
        yield "| field | type | meaning |\n|---|---|---|"
        for number, field in enumerate(message.field):
            yield f"| {field.name} | {field_type(message, field)} | {comments.at(*path, _FIELD, number)} |"
        yield ""
    for number, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from message_lines(nested, (*path, _NESTED, number), comments, f"{prefix}{message.name}.")


def enum_lines(enum: EnumDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    """An enum as a table."""
    yield f"### {enum.name}\n"
    yield comments.at(*path) + "\n"
    yield "| value | meaning |\n|---|---|"
    for number, value in enumerate(enum.value):
        yield f"| {value.name} | {comments.at(*path, _VALUE, number)} |"
    yield ""


def file_lines(file: FileDescriptorProto) -> Iterator[str]:
    """One proto file."""
    comments = Comments(file)
    yield f"# {file.package}: {file.name}\n"
    for index, service in enumerate(file.service):
        yield from service_lines(service, index, comments)
    if file.message_type or file.enum_type:
        yield "## Messages\n" if file.message_type else "## Enums\n"
    for index, message in enumerate(file.message_type):
        yield from message_lines(message, (_MESSAGE, index), comments)
    for index, enum in enumerate(file.enum_type):
        yield from enum_lines(enum, (_ENUM, index), comments)


def main() -> None:
    """Prints the whole reference."""
    image = FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes())
    print("<!-- Written by `make docs` from protos/; change it there. -->\n")
    for file in sorted(image.file, key=lambda f: f.name):
        if file.package.startswith("aift."):
            print("\n".join(file_lines(file)))


if __name__ == "__main__":
    main()
