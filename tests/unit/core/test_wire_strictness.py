"""What a creating request may not contain, however deep it hides."""

import pytest
from aift.training.v1 import training_pb2
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2

from services.core import wire
from services.core.errors import InvalidArgument

UNKNOWN = b"\xc2\xb8\x02\x01x"  # field 5000, the string "x"


def refused(message: Message) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as caught:
        wire.check(message)
    return [(v.field, v.reason) for v in caught.value.violations]


def test_which_methods_are_strict() -> None:
    assert wire.is_strict("/aift.data.v1.DataService/CreateUpload")
    assert wire.is_strict("/aift.data.v1.DataService/UpdateDataset")
    assert not wire.is_strict("/aift.data.v1.DataService/GetDataset")


def test_an_unknown_field_at_the_top() -> None:
    assert refused(training_pb2.CreateTrainingJobRequest.FromString(UNKNOWN)) == [("#5000", "UNKNOWN_FIELD")]


def test_an_unknown_field_in_a_list() -> None:
    inner = error_details_pb2.BadRequest.FieldViolation.FromString(UNKNOWN)
    known = error_details_pb2.BadRequest.FieldViolation(field="a")
    message = error_details_pb2.BadRequest(field_violations=[known, inner])
    assert refused(message) == [("field_violations[1].#5000", "UNKNOWN_FIELD")]


def test_an_unknown_field_in_a_map() -> None:
    message = Struct()
    message.fields["key"].struct_value.MergeFromString(UNKNOWN)
    assert refused(message) == [("fields[key].struct_value.#5000", "UNKNOWN_FIELD")]


def test_nul_in_text_keys_and_lists() -> None:
    message = Struct()
    message["a"] = "x\0"
    message["b\0"] = "x"
    message["c"] = ["ok", "\0"]
    assert {reason for _, reason in refused(message)} == {"NUL_CHARACTER"}
    assert len(refused(message)) == 3


def test_what_is_known_passes() -> None:
    message = Struct()
    message.update({"a": "日本語", "n": 1.5, "list": [1, {"x": None}], "flag": True})
    wire.check(message)
    wire.check(training_pb2.CreateTrainingJobRequest(request_id="r"))
    wire.check(error_details_pb2.DebugInfo(stack_entries=["a", "b"]))
