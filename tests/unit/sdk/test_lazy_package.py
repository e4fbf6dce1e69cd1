"""`import aift` costs nothing but itself, so that services may use the stubs."""

import subprocess
import sys

import aift
import pytest


def test_stubs_load_without_the_client() -> None:
    code = (
        "import sys, aift.data.v1.data_pb2_grpc\n"
        "assert not {'aift.client', 'typer', 'rich', 'yaml', 'aift.errors'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_the_client_loads_without_the_commands_packages() -> None:
    code = "import sys, aift; aift.Client\nassert not {'typer', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.parametrize("name", aift.__all__)
def test_everything_promised_is_there(name: str) -> None:
    assert getattr(aift, name).__name__ == name


def test_nothing_else_is() -> None:
    with pytest.raises(AttributeError, match="clint"):
        aift.clint  # noqa: B018
