"""Versions: the result of a job taken over once, imports, numbers that are never used twice."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from aift.registry.v1 import registry_pb2 as pb
from google.protobuf.json_format import MessageToDict

from tests.integration.registry import tiny_model
from tests.integration.registry.conftest import Registry, refused


async def test_a_result_becomes_a_version(either_registry: Registry) -> None:
    base = await either_registry.ready()
    files = tiny_model.adapter()
    made = await either_registry.trained(
        base,
        files=files,
        job="trainingJobs/first",
        metrics={"eval_loss": 0.25, "perplexity": math.inf},
        hyperparameters={"lora_r": 16, "learning_rate": 0.002},
        template_json='{"form": "text"}',
    )
    assert made.name == "models/faq/versions/1"
    assert made.kind == pb.MODEL_KIND_ADAPTER
    assert made.digest == tiny_model.digest(files)
    assert {file.path for file in made.files} == set(files)
    assert made.base_model_digest == base.digest
    assert made.licence == "apache-2.0"
    assert made.metrics["perplexity"] == math.inf
    assert MessageToDict(made.hyperparameters) == {"lora_r": 16, "learning_rate": 0.002}
    for expected in ("models/faq/versions/1", "trainingJobs/first", "ベースモデル", "| `lora_r` | 16 |", "apache-2.0"):
        assert expected in made.card
    read = await either_registry.editor.GetModelVersion(pb.GetModelVersionRequest(name=made.name))
    assert read == made
    model = await either_registry.editor.GetModel(pb.GetModelRequest(name="models/faq"))
    assert model.latest_version == made.name


async def test_a_job_makes_one_version_whatever_happens(registry: Registry) -> None:
    base = await registry.ready()
    files = tiny_model.adapter()
    calls = [registry.trained(base, "models/faq", job="trainingJobs/one", files=files) for _ in range(4)]
    calls += [registry.trained(base, "models/elsewhere", job="trainingJobs/one")]
    made = await asyncio.gather(*calls)
    assert len({version.uid for version in made}) == 1
    again = await registry.trained(base, job="trainingJobs/one", files={"adapter_config.json": b"{}"})
    assert again == made[0]
    listed = await registry.editor.ListModelVersions(
        pb.ListModelVersionsRequest(parent=again.name.split("/versions")[0])
    )
    assert len(listed.model_versions) == 1


async def test_versions_are_counted_in_the_order_they_come(registry: Registry) -> None:
    base = await registry.ready()
    made = await asyncio.gather(*(registry.trained(base) for _ in range(5)))
    assert sorted(version.name for version in made) == [f"models/faq/versions/{n}" for n in range(1, 6)]
    first = await registry.editor.ListModelVersions(pb.ListModelVersionsRequest(parent="models/faq", page_size=3))
    assert [v.name[-1] for v in first.model_versions] == ["5", "4", "3"]
    request = pb.ListModelVersionsRequest(parent="models/faq", page_size=3, page_token=first.next_page_token)
    second = await registry.editor.ListModelVersions(request)
    assert [v.name[-1] for v in second.model_versions] == ["2", "1"]
    async with refused("INVALID_ARGUMENT"):
        request.parent = "models/other"
        await registry.editor.ListModelVersions(request)


async def test_numbers_are_never_used_twice(registry: Registry) -> None:
    base = await registry.ready()
    await registry.trained(base)
    second = await registry.trained(base)
    await registry.editor.DeleteModelVersion(pb.DeleteModelVersionRequest(name=second.name))
    async with refused("NOT_FOUND"):
        await registry.editor.GetModelVersion(pb.GetModelVersionRequest(name=second.name))
    newest = await registry.editor.GetModelVersion(pb.GetModelVersionRequest(name="models/faq"))
    assert newest.name == "models/faq/versions/1"
    assert (await registry.trained(base)).name == "models/faq/versions/3"
    await registry.editor.DeleteModel(pb.DeleteModelRequest(name="models/faq"))
    async with refused("NOT_FOUND"):
        await registry.editor.GetModel(pb.GetModelRequest(name="models/faq"))
    async with refused("DELETED_ID_IN_USE"):
        await registry.editor.CreateModel(pb.CreateModelRequest(model_id="faq"))
    # A job that was running when its model was deleted has not trained for nothing.
    assert (await registry.trained(base)).name == "models/faq/versions/4"
    listed = await registry.editor.ListModelVersions(pb.ListModelVersionsRequest(parent="models/faq"))
    assert [version.name for version in listed.model_versions] == ["models/faq/versions/4"]


async def test_a_base_model_deleted_during_training_comes_back(registry: Registry) -> None:
    base = await registry.ready()
    await registry.as_("admin").DeleteBaseModel(pb.DeleteBaseModelRequest(name=base.name))
    await registry.trained(base)
    assert (await registry.imported(base.name)).uid == base.uid


async def test_a_version_must_stand_on_the_base_that_it_was_trained_on(registry: Registry) -> None:
    base = await registry.ready()
    async with refused("BASE_MODEL_CHANGED"):
        await registry.trained(base, base_model_digest="0" * 64)
    async with refused("NOT_FOUND"):
        await registry.trained(base, base_model="baseModels/none")
    async with refused("NOT_FOUND"):
        await registry.editor.GetModel(pb.GetModelRequest(name="models/faq"))


@pytest.mark.parametrize(
    ("changed", "said", "reason"),
    [
        ({"adapter_config.json": None}, {}, "FILES_NOT_OF_KIND"),
        ({"adapter_model.safetensors": None}, {}, "FILES_NOT_OF_KIND"),
        ({"adapter_model.safetensors": b"nothing"}, {}, "MODEL_FILE_INVALID"),
        ({}, {"kind": pb.MODEL_KIND_FULL}, "FILES_NOT_OF_KIND"),
        ({}, {"kind": pb.MODEL_KIND_UNSPECIFIED}, "INVALID_ARGUMENT"),
        ({}, {"base_model": ""}, "INVALID_ARGUMENT"),
        ({}, {"training_job": "jobs/x"}, "INVALID_ARGUMENT"),
        ({"training_args.bin": b"pickle"}, {}, "INVALID_ARGUMENT"),
        (tiny_model.adapter(hidden=16), {}, "ADAPTER_BASE_MISMATCH"),
    ],
)
async def test_files_that_do_not_fit(
    registry: Registry, changed: dict[str, bytes | None], said: dict[str, object], reason: str
) -> None:
    base = await registry.ready()
    files = {path: data for path, data in {**tiny_model.adapter(), **changed}.items() if data is not None}
    async with refused(reason):
        await registry.trained(base, files=files, **said)
    assert not (await registry.editor.ListModels(pb.ListModelsRequest())).models


async def test_bytes_are_verified_before_a_version_exists(registry: Registry) -> None:
    base = await registry.ready()
    handed = await registry.handed_over(tiny_model.adapter(fill=77))
    handed[0].blob.sha256 = "a" * 64
    version = pb.ModelVersion(
        kind=pb.MODEL_KIND_ADAPTER,
        base_model=base.name,
        base_model_digest=base.digest,
        training_job="trainingJobs/x",
    )
    request = pb.CreateModelVersionRequest(model="models/faq", model_version=version, files=handed)
    async with refused("DIGEST_MISMATCH"):
        await registry.service.CreateModelVersion(request)
    request.files[0].blob.key = "data/blobs/other"
    async with refused("INVALID_ARGUMENT"):
        await registry.service.CreateModelVersion(request)
    async with refused("PERMISSION_DENIED"):
        await registry.editor.CreateModelVersion(request)


async def test_full_weights_from_a_job(registry: Registry) -> None:
    base = await registry.ready()
    made = await registry.trained(base, kind=pb.MODEL_KIND_FULL, files=tiny_model.llama(fill=9))
    assert made.kind == pb.MODEL_KIND_FULL
    assert made.base_model == base.name


async def test_an_adapter_is_imported(registry: Registry) -> None:
    base = await registry.ready()
    files = await registry.uploaded(tiny_model.adapter())
    request = pb.ImportModelRequest(model="models/mine", base_model=base.name, files=files, request_id="once")
    made = await registry.editor.ImportModel(request)
    assert made.name == "models/mine/versions/1"
    assert made.base_model == base.name
    assert made.base_model_digest == base.digest
    assert json.loads(made.template_json)["prompt_marker"] == "質問: "
    assert await registry.editor.ImportModel(request) == made
    request.request_id = "twice"
    assert (await registry.editor.ImportModel(request)).name == "models/mine/versions/2"


async def test_what_aift_said_of_the_training_is_kept(registry: Registry) -> None:
    base = await registry.ready()
    facts = {"metrics": {"eval_loss": 0.25, "steps": 10}, "hyperparameters": {"learning_rate": 1e-4, "lora_r": 16}}
    folder = {**tiny_model.adapter(), "aift.json": json.dumps(facts).encode()}
    request = pb.ImportModelRequest(model="models/mine", base_model=base.name, files=await registry.uploaded(folder))
    made = await registry.editor.ImportModel(request)
    assert dict(made.metrics) == facts["metrics"]
    assert dict(made.hyperparameters) == facts["hyperparameters"]


@pytest.mark.parametrize(
    "facts",
    [
        b'{"metrics": {"loss": "low"}}',
        b'{"metrics": {"loss": true}}',
        b'{"metrics": [1]}',
        b'{"hyperparameters": {"x": NaN}}',
        b'{"hyperparameters": "many"}',
        b"[]",
    ],
)
async def test_odd_words_of_the_training_are_refused(registry: Registry, facts: bytes) -> None:
    base = await registry.ready()
    files = await registry.uploaded({**tiny_model.adapter(), "aift.json": facts})
    async with refused("MODEL_FILE_INVALID"):
        await registry.editor.ImportModel(pb.ImportModelRequest(model="models/mine", base_model=base.name, files=files))


async def test_full_weights_are_imported(registry: Registry) -> None:
    request = pb.ImportModelRequest(model="models/mine", files=await registry.uploaded(tiny_model.llama()))
    made = await registry.editor.ImportModel(request)
    assert made.kind == pb.MODEL_KIND_FULL
    assert made.base_model == ""
    assert made.licence == "apache-2.0"


async def test_imports_that_cannot_be(registry: Registry) -> None:
    base = await registry.ready()
    adapter = await registry.uploaded(tiny_model.adapter())
    async with refused("INVALID_ARGUMENT"):  # an adapter needs its base
        await registry.editor.ImportModel(pb.ImportModelRequest(model="models/m", files=adapter))
    async with refused("NOT_FOUND"):
        await registry.editor.ImportModel(
            pb.ImportModelRequest(model="models/m", base_model="baseModels/none", files=adapter)
        )
    async with refused("INVALID_ARGUMENT"):
        await registry.editor.ImportModel(pb.ImportModelRequest(model="models/../m", files=adapter))
    other = await registry.uploaded(tiny_model.adapter(hidden=12))
    async with refused("ADAPTER_BASE_MISMATCH"):
        await registry.editor.ImportModel(pb.ImportModelRequest(model="models/m", base_model=base.name, files=other))


async def test_models_by_hand(registry: Registry) -> None:
    said = pb.Model(display_name="社内FAQ", description="説明")
    made = await registry.editor.CreateModel(pb.CreateModelRequest(model_id="faq", model=said, request_id="a"))
    again = await registry.editor.CreateModel(pb.CreateModelRequest(model_id="faq", model=said, request_id="a"))
    assert again == made
    async with refused("ALREADY_EXISTS"):
        await registry.editor.CreateModel(pb.CreateModelRequest(model_id="faq", request_id="b"))
    async with refused("NO_VERSION_YET"):
        await registry.editor.GetModelVersion(pb.GetModelVersionRequest(name="models/faq"))
    change = pb.UpdateModelRequest(model=pb.Model(name=made.name, etag=made.etag, description="新しい説明"))
    change.update_mask.paths.append("description")
    changed = await registry.editor.UpdateModel(change)
    assert (changed.display_name, changed.description) == ("社内FAQ", "新しい説明")
    assert changed.etag != made.etag
    async with refused("ETAG_MISMATCH"):
        await registry.editor.UpdateModel(change)
    change.update_mask.paths.append("uid")
    async with refused("INVALID_ARGUMENT"):
        await registry.editor.UpdateModel(change)
    unnamed = await registry.editor.CreateModel(pb.CreateModelRequest())
    assert unnamed.name.startswith("models/model-")
    listed = await registry.editor.ListModels(pb.ListModelsRequest(page_size=1))
    assert [model.name for model in listed.models] == [unnamed.name]
    assert listed.next_page_token
    others = await registry.as_("editor", "another-tenant").ListModels(pb.ListModelsRequest())
    assert not others.models
