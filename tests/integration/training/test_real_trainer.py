"""The real trainer under the real agent: the shipped base model learns, is killed half-way, and ends as one version."""

import json
from pathlib import Path

import pytest
import pytest_asyncio
from aift.training.v1 import training_pb2 as pb

from tests.integration.training.conftest import (
    Api,
    Connect,
    Peers,
    System,
    all_events,
    hand_out_real_inputs,
    real_job_request,
    states,
    until_ready,
    wait_for,
)

SETTINGS = {"AIFT_TRAINER_MODULE": "services.training_service.trainer", "AIFT_LEASE_SECONDS": "10"}
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(loop_scope="module")
async def api(system: System, connect: Connect, peers: Peers, tmp_path: Path) -> Api:
    """An editor's stubs; the peers hand out the shipped model and some of its rows."""
    hand_out_real_inputs(peers, tmp_path)
    made = connect(system.address)
    await until_ready(made)
    return made


async def test_a_killed_rank_costs_time_and_nothing_else(system: System, api: Api, peers: Peers) -> None:
    request = real_job_request(max_steps=0, num_train_epochs=1, per_device_train_batch_size=8, eval_split=0.1)
    plan = await api.training.PlanTraining(pb.PlanTrainingRequest(spec=request.training_job.spec))
    name = (await api.training.CreateTrainingJob(request)).name
    async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name)):
        if event.HasField("checkpoint"):
            break
    for rank in system.descendants("services.training_service.trainer"):
        rank.kill()
    ended = await wait_for(api, name, "SUCCEEDED", within_s=240)
    assert ended.attempt == 2
    assert ended.progress.total_steps == plan.steps == 12
    assert plan.train_rows + plan.eval_rows == 100
    assert ended.metrics["eval_loss"] < ended.metrics["base_eval_loss"]
    events = await all_events(api, name)
    assert states(events).count("SUCCEEDED") == 1
    phases = [event.progress.phase for event in events if event.HasField("progress")]
    assert {
        pb.TRAINING_PHASE_FETCHING,
        pb.TRAINING_PHASE_LOADING_MODEL,
        pb.TRAINING_PHASE_PREPARING_DATA,
        pb.TRAINING_PHASE_TRAINING,
        pb.TRAINING_PHASE_EVALUATING,
        pb.TRAINING_PHASE_SAVING,
    } <= set(phases)
    assert any(event.HasField("sample") for event in events)
    metrics = (await api.training.ListMetrics(pb.ListMetricsRequest(name=name))).metrics
    assert [metric.step for metric in metrics] == list(range(13))
    assert all("loss" in metric.values for metric in metrics[1:])
    [request] = {call.model_version.training_job: call for call in peers.registry.calls}.values()
    paths = {file.path for file in request.files}
    assert {"adapter_config.json", "adapter_model.safetensors", "template.json"} <= paths
    template = json.loads(request.model_version.template_json)
    assert (template["prompt_marker"], template["completion_marker"]) == ("質問: ", "\n回答: ")
    assert template["stop"]
