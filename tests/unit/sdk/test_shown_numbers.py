"""Numbers as commands show them."""

import pytest
from aift.cli.output import in_binary_bytes, measurements

MIB = 1 << 20


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (12, "12 B"),
        (413 * MIB, "413 MiB"),
        (1024 * MIB - 1, "1.00 GiB"),
        (1.07 * 1024 * MIB, "1.07 GiB"),
        (1.12 * 1024 * MIB, "1.12 GiB"),
        (24 * 1024 * MIB, "24.0 GiB"),
        (2048 * 1024 * MIB, "2,048.0 GiB"),
    ],
)
def test_memory_has_digits_enough_to_tell_sizes_apart(count: float, shown: str) -> None:
    assert in_binary_bytes(count) == shown


def test_counts_are_told_in_full() -> None:
    values = {"tokens": 149123.0, "eval_loss": 1.23456, "eval_reward_accuracy": 1.0}
    assert measurements(values) == "eval_loss=1.235 eval_reward_accuracy=1 tokens=149,123"
