"""What nobody needs goes, and nothing else does."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aift.registry.v1 import registry_pb2 as pb

from services.core.db import Database
from services.registry_service.garbage_store import GarbageStore
from services.registry_service.sweeper import Sweeper
from tests.integration.registry import tiny_model
from tests.integration.registry.conftest import Registry, refused

PASSED = "clock_timestamp() - interval '8 days'"


@pytest.fixture
async def sweeper(either_registry: Registry, tmp_path: Path) -> AsyncIterator[Sweeper]:
    """A second replica's sweeper, swept by hand."""
    database = Database(either_registry.process.database_url, "registry")
    yield Sweeper(GarbageStore(database), either_registry.store, prefix="registry", scratch=tmp_path / "imports")
    await database.close()


def keys(registry: Registry, digests: list[str]) -> list[str]:
    found = registry.process.sql("SELECT key FROM blobs WHERE sha256 = ANY(%s)", digests)
    return [row[0] for row in found]


async def test_content_that_nothing_names_goes_after_a_day(either_registry: Registry, sweeper: Sweeper) -> None:
    fill = uuid.uuid4().int % 200
    base = await either_registry.ready(fill=fill)
    version = await either_registry.trained(base)
    names = pb.DeleteModelVersionRequest(name=version.name)
    kept, gone = [file.sha256 for file in base.files], [file.sha256 for file in version.files]
    age = f"UPDATE blobs SET create_time = {PASSED} WHERE sha256 = ANY(%s)"
    either_registry.process.sql(age, kept + gone)
    await sweeper.sweep()
    assert len(keys(either_registry, kept + gone)) == len({*kept, *gone})

    await either_registry.editor.DeleteModelVersion(names)
    either_registry.process.sql(f"UPDATE versions SET delete_time = {PASSED} WHERE uid = %s", version.uid)
    weights = [file.sha256 for file in version.files if file.path == "adapter_model.safetensors"]
    lying = keys(either_registry, weights)
    await sweeper.sweep()
    assert keys(either_registry, weights) == []
    assert [await either_registry.store.stat(key) for key in lying] == [None]
    assert len(keys(either_registry, kept)) == len({*kept})
    assert either_registry.process.sql("SELECT count(*) FROM versions WHERE uid = %s", version.uid) == [(0,)]


async def test_fresh_content_stays_for_whoever_is_about_to_name_it(either_registry: Registry, sweeper: Sweeper) -> None:
    base = await either_registry.ready()
    # The copy was made, the version was refused: within a day a retry finds the bytes.
    files = tiny_model.adapter(hidden=64, fill=uuid.uuid4().int % 255)
    async with refused("ADAPTER_BASE_MISMATCH"):
        await either_registry.trained(base, files=files)
    await sweeper.sweep()
    assert len(keys(either_registry, [tiny_model.sha256(files["adapter_model.safetensors"])])) == 1


async def test_strays_go_a_day_after_they_were_seen(either_registry: Registry, sweeper: Sweeper) -> None:
    key = f"registry/blobs/ab/{uuid.uuid4().hex}"
    foreign = f"training/blobs/{uuid.uuid4().hex}"
    await either_registry.store.put(key, b"left behind by a kill")
    await either_registry.store.put(foreign, b"not ours")
    await sweeper.sweep()
    assert await either_registry.store.stat(key) is not None
    either_registry.process.sql(f"UPDATE stray_objects SET seen_time = {PASSED} WHERE key = %s", key)
    await sweeper.sweep()
    assert await either_registry.store.stat(key) is None
    assert await either_registry.store.stat(foreign) is not None
    await sweeper.sweep()
    assert either_registry.process.sql("SELECT count(*) FROM stray_objects WHERE key = %s", key) == [(0,)]


async def test_a_purged_models_numbers_stay_used(either_registry: Registry, sweeper: Sweeper) -> None:
    base = await either_registry.ready()
    first = await either_registry.trained(base)
    await either_registry.editor.DeleteModel(pb.DeleteModelRequest(name="models/faq"))
    either_registry.process.sql(f"UPDATE models SET delete_time = {PASSED} WHERE tenant = %s", either_registry.tenant)
    await sweeper.sweep()
    again = await either_registry.editor.CreateModel(pb.CreateModelRequest(model_id="faq"))
    assert again.latest_version == ""
    assert (await either_registry.trained(base)).name == "models/faq/versions/2"
    assert first.name == "models/faq/versions/1"


async def test_a_deleted_base_model_is_purged(either_registry: Registry, sweeper: Sweeper) -> None:
    base = await either_registry.ready()
    await either_registry.as_("admin").DeleteBaseModel(pb.DeleteBaseModelRequest(name=base.name))
    count = "SELECT count(*) FROM base_models WHERE uid = %s"
    await sweeper.sweep()
    assert either_registry.process.sql(count, base.uid) == [(1,)]
    either_registry.process.sql(f"UPDATE base_models SET delete_time = {PASSED} WHERE uid = %s", base.uid)
    await sweeper.sweep()
    assert either_registry.process.sql(count, base.uid) == [(0,)]


async def test_old_scratch_folders_are_cleared(sweeper: Sweeper, tmp_path: Path) -> None:
    old, fresh = tmp_path / "imports" / "old", tmp_path / "imports" / "fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"half")
    os.utime(old, (0, 0))
    await sweeper.sweep()
    assert not old.exists()
    assert fresh.exists()
