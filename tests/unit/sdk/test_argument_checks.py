"""What the client refuses before any call."""

from typing import Any

import pytest
from aift import Client
from aift.errors import AiftError
from aift.hyperparameters import hyperparameters


@pytest.fixture
def client() -> Any:
    with Client(token="t") as opened:
        yield opened


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("processes", {"processes": 10**10}),
        ("processes", {"processes": -1}),
        ("sample_prompts", {"sample_prompts": "one"}),
    ],
)
def test_a_spec_names_what_is_wrong(client: Client, field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(AiftError) as caught:
        client.training.spec("b", "d", **arguments)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(("field", "value"), [("offset", 2**63), ("offset", -1), ("limit", 10**10)])
def test_a_look_at_rows_names_what_is_wrong(client: Client, field: str, value: int) -> None:
    looks = [
        lambda: client.datasets.preview("d", **{field: value}),
        lambda: client.datasets.preview_preparation("d", **{field: value}),  # type: ignore[arg-type]
        lambda: client.datasets.preview_supervision("d", "b", **{field: value}),
    ]
    for look in looks:
        with pytest.raises(AiftError) as caught:
            look()
        assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize("arguments", [{"seed": 2**63}, {"top_k": 10**10}, {"max_length": 10**10}, {"stop": "abc"}])
def test_a_question_names_what_is_wrong(client: Client, arguments: dict[str, Any]) -> None:
    with pytest.raises(AiftError) as caught:
        client.generate("m", "p", **arguments)
    assert caught.value.violations


@pytest.mark.parametrize(
    ("settings", "ja"),
    [({"lr": "x"}, "使える値: 数値。"), ({"lora_r": "x"}, "使える値: 整数。"), ({"lora_r": 1e10}, "未満の整数")],
)
def test_japanese_is_japanese(settings: dict[str, object], ja: str) -> None:
    with pytest.raises(AiftError) as caught:
        hyperparameters(settings)
    assert ja in caught.value.message_ja
