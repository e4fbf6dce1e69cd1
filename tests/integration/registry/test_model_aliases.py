"""Aliases with their history, and lineage in both directions."""

from __future__ import annotations

import psycopg
import pytest
from aift.registry.v1 import registry_pb2 as pb

from tests.integration.registry import tiny_model
from tests.integration.registry.conftest import Registry, refused


def alias(name: str, version: str, **options: str) -> pb.SetModelAliasRequest:
    return pb.SetModelAliasRequest(name=name, model_version=version, **options)


async def test_an_alias_moves_and_its_history_stays(registry: Registry) -> None:
    base = await registry.ready()
    first, second = await registry.trained(base), await registry.trained(base)
    production = "models/faq@production"
    await registry.editor.SetModelAlias(alias(production, first.name))
    moved = await registry.editor.SetModelAlias(alias(production, second.name, request_id="move"))
    assert moved.model_version == second.name
    assert (await registry.editor.SetModelAlias(alias(production, second.name, request_id="move"))) == moved
    await registry.editor.SetModelAlias(alias(production, second.name))  # where it is already
    seen = await registry.editor.GetModelVersion(pb.GetModelVersionRequest(name=production))
    assert seen.name == second.name
    assert list(seen.aliases) == ["production"]
    model = await registry.editor.GetModel(pb.GetModelRequest(name="models/faq"))
    assert [one.name for one in model.aliases] == [production]
    await registry.editor.DeleteModelAlias(pb.DeleteModelAliasRequest(name=production))
    async with refused("NOT_FOUND"):
        await registry.editor.GetModelVersion(pb.GetModelVersionRequest(name=production))
    async with refused("NOT_FOUND"):
        await registry.editor.DeleteModelAlias(pb.DeleteModelAliasRequest(name=production))
    history = pb.ListModelAliasHistoryRequest(name=production, page_size=2)
    page = await registry.editor.ListModelAliasHistory(history)
    assert [change.model_version for change in page.changes] == ["", second.name]
    assert {change.principal for change in page.changes} == {"alice"}
    history.page_token = page.next_page_token
    rest = await registry.editor.ListModelAliasHistory(history)
    assert [change.model_version for change in rest.changes] == [first.name]


async def test_a_version_in_use_is_not_deleted(registry: Registry) -> None:
    version = await registry.trained(await registry.ready())
    await registry.editor.SetModelAlias(alias("models/faq@production", version.name))
    async with refused("VERSION_HAS_ALIASES"):
        await registry.editor.DeleteModelVersion(pb.DeleteModelVersionRequest(name=version.name))
    await registry.editor.DeleteModel(pb.DeleteModelRequest(name="models/faq"))
    async with refused("NOT_FOUND"):
        await registry.editor.GetModelVersion(pb.GetModelVersionRequest(name="models/faq@production"))
    history = await registry.editor.ListModelAliasHistory(pb.ListModelAliasHistoryRequest(name="models/faq@production"))
    assert [change.model_version for change in history.changes] == ["", version.name]


async def test_aliases_that_cannot_be(registry: Registry) -> None:
    base = await registry.ready()
    version, other = await registry.trained(base), await registry.trained(base, "models/other")
    for request in (
        alias("models/faq@7", version.name),
        alias("models/faq@Production", version.name),
        alias("models/faq@production", other.name),
        alias("models/faq@production", "models/faq"),
        alias("models/faq", version.name),
    ):
        async with refused("INVALID_ARGUMENT"):
            await registry.editor.SetModelAlias(request)
    async with refused("NOT_FOUND"):
        await registry.editor.SetModelAlias(alias("models/faq@production", "models/faq/versions/9"))
    async with refused("NOT_FOUND"):
        await registry.editor.ListModelAliasHistory(pb.ListModelAliasHistoryRequest(name="models/faq@production"))


async def test_nobody_rewrites_history(registry: Registry) -> None:
    version = await registry.trained(await registry.ready())
    await registry.editor.SetModelAlias(alias("models/faq@production", version.name))
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        registry.process.sql("UPDATE alias_changes SET principal = 'nobody' WHERE tenant = %s", registry.tenant)


async def test_lineage_in_both_directions(registry: Registry) -> None:
    base = await registry.ready()
    version = await registry.trained(base, job="trainingJobs/one")
    other = await registry.trained(base, "models/other", job="trainingJobs/two", dataset_version="")
    made = {("trainingJobs/one", version.name), (base.name, version.name)}
    edges = {("datasets/faq/versions/1", "trainingJobs/one"), *made}

    async def around(name: str) -> set[tuple[str, str]]:
        found = await registry.editor.GetLineage(pb.GetLineageRequest(name=name))
        return {(getattr(edge, "from"), edge.to) for edge in found.edges}

    assert await around(version.name) == edges
    assert await around("models/faq") == edges
    assert await around("datasets/faq/versions/1") == edges - {(base.name, version.name)}
    assert await around("trainingJobs/one") == edges - {(base.name, version.name)}
    assert await around(base.name) == {(base.name, version.name), (base.name, other.name)}
    assert await around("trainingJobs/unknown") == set()
    await registry.editor.DeleteModelVersion(pb.DeleteModelVersionRequest(name=other.name))
    assert await around(base.name) == {(base.name, version.name)}
    async with refused("NOT_FOUND"):
        await around(other.name)
    async with refused("INVALID_ARGUMENT"):
        await around("uploads/x")


async def test_lineage_of_an_import(registry: Registry) -> None:
    base = await registry.ready()
    files = await registry.uploaded(tiny_model.adapter())
    request = pb.ImportModelRequest(model="models/mine", base_model=base.name, files=files)
    made = await registry.editor.ImportModel(request)
    found = await registry.editor.GetLineage(pb.GetLineageRequest(name=made.name))
    assert [(getattr(edge, "from"), edge.to) for edge in found.edges] == [(base.name, made.name)]
