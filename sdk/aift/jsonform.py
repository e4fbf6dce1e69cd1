"""Messages as JSON for scripts: all fields, numbers as numbers, enums by name, times as RFC 3339."""

import math
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp


def as_json(message: Message) -> dict[str, object]:
    """A message as JSON's types.

    Every field is there under its proto name, whether set or not; those with presence (messages, optional fields)
    are null when unset, of a oneof only the one that is set is there. 64-bit integers stay numbers.
    """
    fields: dict[str, object] = {}
    descriptor = cast(Descriptor, message.DESCRIPTOR)  # the stubs also allow the C type of the same shape
    for name, field in descriptor.fields_by_name.items():
        if field.containing_oneof is not None and not _optional(field) and not message.HasField(name):
            continue
        fields[name] = _field(message, field)
    return fields


def _optional(field: FieldDescriptor) -> bool:
    oneof = field.containing_oneof
    return oneof is not None and len(oneof.fields) == 1 and oneof.name.startswith("_")


def _field(message: Message, field: FieldDescriptor) -> object:
    value = getattr(message, field.name)
    if (entry := _map_entry(field)) is not None:
        item = entry.fields_by_name["value"]
        return {str(key): _single(item, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_single(field, item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _single(field, value)


def _map_entry(field: FieldDescriptor) -> Descriptor | None:
    entry = field.message_type
    return entry if entry is not None and entry.GetOptions().map_entry else None


def _single(field: FieldDescriptor, value: object) -> object:
    if isinstance(value, Struct):
        return MessageToDict(value)
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Duration):
        return value.seconds + value.nanos / 1e9
    if isinstance(value, Message):
        return as_json(value)
    if field.enum_type is not None and isinstance(value, int):
        named = field.enum_type.values_by_number.get(value)
        return named.name if named else value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no NaN
    return value
