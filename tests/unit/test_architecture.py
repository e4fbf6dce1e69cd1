"""The walls of the house, read off the source: who may import what."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("data_service", "training_service", "registry_service", "inference_service")
HEAVY = {"torch", "transformers", "peft", "trl", "accelerate", "datasets", "bitsandbytes", "deepspeed", "pandas"}
# The only rooms that hold tensors.
HEAVY_ROOMS = ("services/training_service/trainer/", "services/inference_service/engines/")


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.name.endswith(("_pb2.py", "_pb2_grpc.py")):
                yield path


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; the full name tells the room"
            yield node.module or ""


def room(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def violations(paths: Iterator[Path], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{room(path)} imports {name}"
        for path in paths
        for name in imports(path)
        if any(name == prefix or name.startswith(prefix + ".") for prefix in forbidden)
    ]


def test_sdk_stands_alone() -> None:
    assert violations(sources("sdk/aift"), ("services", "frontend", "sqlalchemy", "minio", "pydantic")) == []


def test_frontend_sees_the_system_through_the_sdk_only() -> None:
    assert violations(sources("frontend"), ("services",)) == []


def test_core_and_text_know_no_service() -> None:
    forbidden = tuple(f"services.{name}" for name in (*SERVICES, "embedded"))
    assert violations(sources("services/core", "services/text"), forbidden) == []


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_imports_another(service: str) -> None:
    others = tuple(f"services.{name}" for name in (*SERVICES, "embedded") if name != service)
    assert violations(sources(f"services/{service}"), others) == []


def test_only_trainer_and_engines_import_torch() -> None:
    paths = (path for path in sources("services", "frontend", "sdk") if not room(path).startswith(HEAVY_ROOMS))
    heavy = [
        f"{room(path)} imports {name}"
        for path in paths
        for name in imports(path, top_level_only=room(path).startswith("services/text/"))
        if name.split(".")[0] in HEAVY or name.startswith("pyarrow.dataset")
    ]
    assert heavy == []


def test_trainer_knows_no_network_and_no_store() -> None:
    forbidden = ("grpc", "sqlalchemy", "psycopg", "minio", "aift", "aiohttp")
    assert violations(sources("services/training_service/trainer"), forbidden) == []


def foreign(path: Path) -> list[str]:
    """What a module imports beyond the standard library, through modules of the house too."""
    found: list[str] = []
    for name in imports(path):
        own = ROOT / f"{name.replace('.', '/')}.py"
        if name.startswith("services.") and own.exists():
            found += foreign(own)
        elif name.split(".")[0] not in sys.stdlib_module_names:
            found.append(f"{room(path)} imports {name}")
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_domain_is_standard_library_only(service: str) -> None:
    assert foreign(ROOT / "services" / service / "domain.py") == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms(service: str) -> None:
    there = {path.name for path in (ROOT / "services" / service).iterdir()}
    assert {"servicer.py", "domain.py", "settings.py", "app.py", "errors.py", "__main__.py"} <= there
    assert any(name in ("store", "store.py") or name.endswith("_store.py") for name in there)


def test_nothing_runs_code_of_a_model() -> None:
    for path in sources("services", "sdk", "frontend", "samples"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                value = node.value
                assert isinstance(value, ast.Constant), room(path)
                assert value.value is False, room(path)
            if isinstance(node, ast.keyword) and node.arg == "shell":
                assert isinstance(node.value, ast.Constant), room(path)
                assert node.value.value is False, room(path)
