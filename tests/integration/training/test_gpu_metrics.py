"""Jobs on GPUs: the agent tells how they are used. Only `nvidia-smi` and the trainer are made up."""

import os
from collections.abc import Mapping

import pytest
from aift.training.v1 import training_pb2 as pb

from tests.integration.training.conftest import Connect, System, all_events, job_request, until_ready

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The worker finds two GPUs, of which the second is busier."""
    program = tmp_path_factory.mktemp("bin") / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, NVIDIA A100, 40960, 1024, 75'\necho '1, NVIDIA A100, 40960, 20480, 100'\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


async def test_metrics_tell_the_use_of_the_jobs_own_gpus(system: System, connect: Connect) -> None:
    api = connect(system.address)
    await until_ready(api)
    name = (await api.training.CreateTrainingJob(job_request({"steps": 30, "step_s": 0.1}, processes=1))).name
    events = await all_events(api, name)
    last = [event.metric for event in events if event.HasField("metric")][-1]
    assert last.values["loss"] == 1 / 30
    assert last.values["gpu_utilization"] == 0.75
    assert last.values["gpu_memory_used_bytes"] == 1 << 30
    stored = (await api.training.ListMetrics(pb.ListMetricsRequest(name=name))).metrics[-1]
    assert dict(stored.values) == dict(last.values)
