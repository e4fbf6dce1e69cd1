"""Jobs over the wire: what is accepted, what is refused and how, and what the verbs do."""

import asyncio
import json
import uuid
from typing import Any

import grpc
import pytest
from aift.common.v1 import blob_pb2
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.core.relay import reason_of
from services.training_service.app import TrainingApp
from tests.integration.training.conftest import Api, Connect, Peers, job_request, state_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(app: TrainingApp, connect: Connect, peers: Peers) -> Api:
    """An editor's stubs of the service in this process."""
    peers.data.reset()
    return connect(f"127.0.0.1:{app.server.port}")


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def violations(error: grpc.aio.AioRpcError) -> dict[str, error_details_pb2.BadRequest.FieldViolation]:
    """What is wrong, by field."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    found = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(found):
            return {violation.field: violation for violation in found.field_violations}
    return {}


async def test_a_job_is_accepted_resolved_and_pinned(api: Api, peers: Peers) -> None:
    job = await api.training.CreateTrainingJob(job_request(base_model="baseModels/some/Tiny-Model"))
    assert job.name.startswith("trainingJobs/job-")
    assert job.state == pb.TRAINING_JOB_STATE_QUEUED
    assert job.spec.base_model == "baseModels/tiny"
    assert job.spec.base_model_digest == "ab" * 32
    assert job.spec.dataset_version == "datasets/faq/versions/1"
    assert job.spec.dataset_digest == peers.data.files[-1].sha256
    assert job.spec.model.startswith("models/lora-demo-20")
    assert job.spec.hyperparameters.lora_r == 16
    assert job.spec.hyperparameters.learning_rate == 3e-4
    assert job.spec.hyperparameters.method == pb.TRAINING_METHOD_LORA
    assert job.priority == 50
    assert job.last_sequence == 1
    again = await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=job.name))
    assert again == job


async def test_the_same_request_makes_one_job(api: Api, peers: Peers) -> None:
    request = job_request()
    request.request_id = str(uuid.uuid4())
    first, second = await asyncio.gather(*(api.training.CreateTrainingJob(request) for _ in range(2)))
    assert first.name == second.name
    peers.data.rows = 0  # names are not resolved again
    third = await api.training.CreateTrainingJob(request)
    assert third.name == first.name
    request.training_job.priority = 7
    peers.data.rows = 100
    error = await refusal(api.training.CreateTrainingJob(request))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_validate_only_stores_nothing(api: Api) -> None:
    request = job_request()
    request.validate_only = True
    job = await api.training.CreateTrainingJob(request)
    assert job.spec.hyperparameters.lora_alpha == 32
    listed = await api.training.ListTrainingJobs(pb.ListTrainingJobsRequest())
    assert not listed.training_jobs


async def test_a_taken_id_and_a_bad_one_are_refused(api: Api) -> None:
    request = job_request()
    request.training_job_id = "my-job"
    assert (await api.training.CreateTrainingJob(request)).name == "trainingJobs/my-job"
    for request.validate_only in (False, True):
        error = await refusal(api.training.CreateTrainingJob(request))
        assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    for bad in ("../x", "Job", "a_b", "-a"):
        request.training_job_id = bad
        error = await refusal(api.training.CreateTrainingJob(request))
        assert "training_job_id" in violations(error)
    for bad in ("trainingJobs/../x", "trainingJobs/a\0b", "jobs/a"):
        error = await refusal(api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=bad)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "name" in violations(error)


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        ({"model": "models/Bad Name"}, "model", "Is 'models/Bad Name'; write models/ and a name of lower-case letters"),
        ({"sample_prompts": ["問い"] * 11}, "sample_prompts", "Has 11 prompts; give at most 10."),
        ({"sample_prompts": ["問い", "長" * 4001]}, "sample_prompts[1]", "Has 4001 characters; write at most 4000."),
    ],
)
async def test_a_wrong_field_is_named_with_its_value(api: Api, spec: dict[str, Any], field: str, said: str) -> None:
    error = await refusal(api.training.CreateTrainingJob(job_request(**spec)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violations(error)[f"training_job.spec.{field}"].description.startswith(said)


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"lora_r": 0}, "lora_r", "0"),
        ({"lora_r": 2000}, "lora_r", "2000"),
        ({"learning_rate": float("nan")}, "learning_rate", "nan"),
        ({"learning_rate": float("inf")}, "learning_rate", "inf"),
        ({"learning_rate": 0.0}, "learning_rate", "0"),
        ({"learning_rate": -1.0}, "learning_rate", "-1"),
        ({"per_device_train_batch_size": 2**31 - 1}, "per_device_train_batch_size", "2147483647"),
        ({"num_train_epochs": -1.0}, "num_train_epochs", "-1"),
        ({"max_length": 4}, "max_length", "Is 4; it must lie in [8, 1048576]."),
        ({"offload_optimizer": 2}, "offload_optimizer", "Moves what DeepSpeed shares out; set deepspeed_stage to 1"),
        ({"warmup_ratio": 1.5}, "warmup_ratio", "1.5"),
        ({"seed": -1}, "seed", "-1"),
        ({"method": 99}, "method", "99"),
        ({"lr_scheduler_type": 99}, "lr_scheduler_type", "99"),
        ({"method": 1, "lora_target_modules": ["q_proj"]}, "lora_target_modules", "Is q_proj, but method FULL"),
        ({"method": 1, "use_dora": True}, "use_dora", "FULL"),
        ({"method": 1, "lora_r": 4}, "lora_r", "Is 4, but method FULL"),
    ],
)
async def test_a_wrong_number_is_named_with_its_remedy(api: Api, values: dict[str, Any], field: str, said: str) -> None:
    error = await refusal(api.training.CreateTrainingJob(job_request(hyperparameters=values)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = violations(error)[f"training_job.spec.hyperparameters.{field}"]
    assert said in found.description
    english, japanese = found.description.split(" / ")
    assert english.isascii()
    assert not japanese.isascii()
    listed = await api.training.ListTrainingJobs(pb.ListTrainingJobsRequest())
    assert not listed.training_jobs


async def test_defaults_of_adapters_are_no_wish_where_all_weights_are_trained(api: Api) -> None:
    job = await api.training.CreateTrainingJob(job_request(hyperparameters={"method": pb.TRAINING_METHOD_FULL}))
    again = job_request(hyperparameters=job.spec.hyperparameters)
    assert (await api.training.CreateTrainingJob(again)).spec.hyperparameters == job.spec.hyperparameters


async def test_all_mistakes_are_told_at_once(api: Api) -> None:
    values = {"lora_r": 0, "learning_rate": float("nan"), "max_length": 1}
    error = await refusal(api.training.CreateTrainingJob(job_request(hyperparameters=values)))
    assert len(violations(error)) == 3


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"max_length": 1024}, "max_length", "512"),
        ({"lora_r": 128}, "lora_r", "64"),
        ({"lora_target_modules": ["c_attn"]}, "lora_target_modules", "q_proj"),
    ],
)
async def test_what_does_not_fit_the_model_is_refused(api: Api, values: dict[str, Any], field: str, said: str) -> None:
    error = await refusal(api.training.CreateTrainingJob(job_request(hyperparameters=values)))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "SPEC_DOES_NOT_FIT")
    assert said in violations(error)[f"training_job.spec.hyperparameters.{field}"].description


async def test_the_default_length_shrinks_to_the_context_but_not_a_length_of_ones_own(api: Api, peers: Peers) -> None:
    peers.registry.context_tokens = 128
    try:
        job = await api.training.CreateTrainingJob(job_request())
        assert job.spec.hyperparameters.max_length == 128
        error = await refusal(api.training.CreateTrainingJob(job_request(hyperparameters={"max_length": 512})))
        assert violations(error)["training_job.spec.hyperparameters.max_length"].reason == "LONGER_THAN_CONTEXT"
    finally:
        peers.registry.reset()


async def test_rows_that_the_objective_does_not_learn_from_are_refused(api: Api) -> None:
    values = {"objective": pb.TRAINING_OBJECTIVE_DPO}
    error = await refusal(api.training.CreateTrainingJob(job_request(hyperparameters=values)))
    assert reason_of(error) == "SPEC_DOES_NOT_FIT"
    assert "PREFERENCE" in violations(error)["training_job.spec.dataset_version"].description
    values = {"load_best_model_at_end": True}
    error = await refusal(api.training.CreateTrainingJob(job_request(hyperparameters=values)))
    assert "eval_steps" in violations(error)["training_job.spec.hyperparameters.load_best_model_at_end"].description


async def test_training_goes_on_from_a_version(api: Api) -> None:
    request = job_request(base_model="", start_from="models/polite", hyperparameters={"lora_r": 4})
    spec = (await api.training.CreateTrainingJob(request)).spec
    assert (spec.base_model, spec.start_from) == ("baseModels/tiny", "models/polite/versions/1")
    assert spec.start_from_digest
    kept = spec.hyperparameters
    assert (kept.lora_r, kept.lora_alpha, list(kept.lora_target_modules)) == (4, 8, ["q_proj"])
    request = job_request(start_from="models/whole", hyperparameters={"method": pb.TRAINING_METHOD_FULL})
    assert (await api.training.CreateTrainingJob(request)).spec.start_from == "models/whole/versions/1"
    # The same base model by another name, as its digest tells.
    spec = (await api.training.CreateTrainingJob(job_request(start_from="models/renamed"))).spec
    assert (spec.base_model, spec.start_from) == ("baseModels/tiny", "models/renamed/versions/1")


@pytest.mark.parametrize(
    ("start", "values", "field", "reason"),
    [
        ("models/foreign", {}, "start_from", "OTHER_BASE_MODEL"),
        ("models/whole", {}, "hyperparameters.method", "OTHER_KIND"),
        ("models/polite", {"method": pb.TRAINING_METHOD_FULL}, "hyperparameters.method", "OTHER_KIND"),
        ("models/polite", {"lora_r": 16}, "hyperparameters.lora_r", "DECIDED_BY_ADAPTER"),
    ],
)
async def test_versions_that_cannot_be_gone_on_from_are_refused(
    api: Api, start: str, values: dict[str, Any], field: str, reason: str
) -> None:
    error = await refusal(api.training.CreateTrainingJob(job_request(start_from=start, hyperparameters=values)))
    assert violations(error)[f"training_job.spec.{field}"].reason == reason


@pytest.mark.parametrize(
    ("rows", "values", "reason"),
    [
        (1, {"eval_split": 0.2}, "EMPTY_EVALUATION"),
        (1, {"eval_steps": 5}, "EMPTY_EVALUATION"),
        (100, {"eval_split": 0, "eval_steps": 5, "early_stopping_patience": 2}, "EMPTY_EVALUATION"),
        (1, {}, ""),
        (100, {"eval_split": 0}, ""),
    ],
)
async def test_an_evaluation_without_rows_is_refused_where_one_is_asked_for(
    api: Api, peers: Peers, rows: int, values: dict[str, Any], reason: str
) -> None:
    peers.data.rows = rows
    call = api.training.CreateTrainingJob(job_request(hyperparameters=values))
    if reason:
        found = violations(await refusal(call))["training_job.spec.hyperparameters.eval_split"]
        assert found.reason == reason
        assert "eval_dataset_version" in found.description
    else:
        assert (await call).name


async def test_rows_of_which_cutting_leaves_nothing_are_refused(api: Api, peers: Peers) -> None:
    peers.data.median = 2000
    error = await refusal(api.training.CreateTrainingJob(job_request(hyperparameters={"max_length": 64})))
    found = violations(error)["training_job.spec.hyperparameters.max_length"]
    assert found.reason == "NOTHING_TO_TRAIN"
    assert "first 50 rows" in found.description
    peers.data.trained_tokens = 1
    assert (await api.training.CreateTrainingJob(job_request(hyperparameters={"max_length": 64}))).name


async def test_what_no_worker_has_installed_is_refused(api: Api, app: TrainingApp, connect: Connect) -> None:
    request = job_request(hyperparameters={"deepspeed_stage": 2, "method": pb.TRAINING_METHOD_QLORA})
    request.validate_only = True
    assert (await api.training.CreateTrainingJob(request)).spec.hyperparameters.deepspeed_stage == 2
    worker = connect(f"127.0.0.1:{app.server.port}", "worker", tenant="system")
    try:
        for libraries in (["bitsandbytes"], ["bitsandbytes", "deepspeed"]):
            machine = pb.MachineStatus(memory_total_bytes=1 << 40, libraries=libraries)
            await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker="bench", machine=machine))
            if "deepspeed" in libraries:
                assert (await api.training.CreateTrainingJob(request)).spec.processes == 0
            else:
                found = violations(await refusal(api.training.CreateTrainingJob(request)))
                assert [*found] == ["training_job.spec.hyperparameters.deepspeed_stage"]
                assert "pip install deepspeed" in found["training_job.spec.hyperparameters.deepspeed_stage"].description
    finally:
        async with app.database.transaction() as tx:
            await tx.exec_driver_sql("DELETE FROM workers")


async def test_more_processes_than_any_worker_has_memory_for_are_refused(
    api: Api, app: TrainingApp, connect: Connect
) -> None:
    worker = connect(f"127.0.0.1:{app.server.port}", "worker", tenant="system")
    machine = pb.MachineStatus(cpu_count=2, memory_total_bytes=4 << 30)
    await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker="bench", machine=machine))
    try:
        found = violations(await refusal(api.training.CreateTrainingJob(job_request(processes=5))))
        assert found["training_job.spec.processes"].description.startswith(
            "Is 5, which takes 4.15 GiB of memory before any model is loaded, but no worker has more than 4.00 GiB. "
            "Choose at most 4"
        )
        assert (await api.training.CreateTrainingJob(job_request(processes=4))).name
    finally:
        async with app.database.transaction() as tx:
            await tx.exec_driver_sql("DELETE FROM workers")


async def test_offloading_to_a_disk_that_no_worker_offers_is_refused(
    api: Api, app: TrainingApp, connect: Connect
) -> None:
    asked = {"deepspeed_stage": 3, "offload_optimizer": pb.OFFLOAD_DEVICE_NVME, "disk_offload_dir": "/fast"}
    request = job_request(hyperparameters=asked)
    request.validate_only = True
    worker = connect(f"127.0.0.1:{app.server.port}", "worker", tenant="system")
    gone = pb.DiskOffload(
        directory="/fast", problem=blob_pb2.LocalizedText(en="/fast is no directory", ja="ありません")
    )
    offers = [
        (pb.DiskOffload(directory="/fast", free_bytes=1), "", ""),
        (pb.DiskOffload(directory="/scratch", free_bytes=1), "disk_offload_dir", "choose /scratch"),
        (gone, "disk_offload_dir", "/fast is no directory"),
        (None, "offload_optimizer", "AIFT_DISK_OFFLOAD_DIR"),
    ]
    try:
        for disk, field, words in offers:
            machine = pb.MachineStatus(memory_total_bytes=1 << 40, libraries=["deepspeed"], disk_offload=disk)
            await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker="bench", machine=machine))
            if field == "offload_optimizer":
                request.training_job.spec.hyperparameters.ClearField("disk_offload_dir")
            if not field:
                assert (await api.training.CreateTrainingJob(request)).spec.hyperparameters.disk_offload_dir == "/fast"
                continue
            found = violations(await refusal(api.training.CreateTrainingJob(request)))
            assert [*found] == [f"training_job.spec.hyperparameters.{field}"]
            assert words in found[f"training_job.spec.hyperparameters.{field}"].description
    finally:
        async with app.database.transaction() as tx:
            await tx.exec_driver_sql("DELETE FROM workers")


async def test_unknown_and_unfinished_inputs_are_refused(api: Api, peers: Peers) -> None:
    unknown = {"base_model": "baseModels/nope", "dataset_version": "datasets/nope"}
    for field, name in [*unknown.items(), ("eval_dataset_version", "datasets/nope"), ("start_from", "models/nope")]:
        error = await refusal(api.training.CreateTrainingJob(job_request(**{field: name})))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert name in (error.details() or "")
        assert [*violations(error)] == [f"training_job.spec.{field}"]
    error = await refusal(api.training.CreateTrainingJob(job_request(dataset_version="datasets/./no.jsonl")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [*violations(error)] == ["training_job.spec.dataset_version"]
    error = await refusal(api.training.CreateTrainingJob(job_request(base_model="baseModels/importing")))
    assert reason_of(error) == "BASE_MODEL_NOT_READY"
    error = await refusal(api.training.CreateTrainingJob(job_request(base_model="")))
    assert "training_job.spec.base_model" in violations(error)
    peers.data.rows = 0
    error = await refusal(api.training.CreateTrainingJob(job_request()))
    assert "training_job.spec.dataset_version" in violations(error)


async def test_roles_and_tenants_are_kept_apart(api: Api, app: TrainingApp, connect: Connect) -> None:
    address = f"127.0.0.1:{app.server.port}"
    job = await api.training.CreateTrainingJob(job_request())
    viewer = connect(address, "viewer")
    assert await state_of(viewer, job.name) == "QUEUED"
    error = await refusal(viewer.training.CreateTrainingJob(job_request()))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    stranger = connect(address, tenant="somebody-else")
    error = await refusal(stranger.training.GetTrainingJob(pb.GetTrainingJobRequest(name=job.name)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert not (await stranger.training.ListTrainingJobs(pb.ListTrainingJobsRequest())).training_jobs


async def test_lists_are_paged_newest_first_and_filtered(api: Api) -> None:
    made = [(await api.training.CreateTrainingJob(job_request())).name for _ in range(5)]
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=made[0]))
    seen, token = [], ""
    while True:
        page = await api.training.ListTrainingJobs(pb.ListTrainingJobsRequest(page_size=2, page_token=token))
        seen += [job.name for job in page.training_jobs]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    cancelled = await api.training.ListTrainingJobs(
        pb.ListTrainingJobsRequest(states=[pb.TRAINING_JOB_STATE_CANCELLED])
    )
    assert [job.name for job in cancelled.training_jobs] == made[:1]


async def test_a_sweep_is_a_name_that_jobs_share(api: Api) -> None:
    for sweep in ("ranks", "ranks", ""):
        request = job_request()
        request.training_job.sweep = sweep
        await api.training.CreateTrainingJob(request)
    found = await api.training.ListTrainingJobs(pb.ListTrainingJobsRequest(sweep="ranks"))
    assert [job.sweep for job in found.training_jobs] == ["ranks", "ranks"]
    request.training_job.sweep = "../ranks"
    error = await refusal(api.training.CreateTrainingJob(request))
    assert "training_job.sweep" in violations(error)


async def test_verbs_before_a_worker_comes(api: Api) -> None:
    name = (await api.training.CreateTrainingJob(job_request())).name
    error = await refusal(api.training.DeleteTrainingJob(pb.DeleteTrainingJobRequest(name=name)))
    assert reason_of(error) == "JOB_HAS_NOT_ENDED"
    for _ in range(2):
        paused = await api.training.PauseTrainingJob(pb.PauseTrainingJobRequest(name=name))
        assert paused.state == pb.TRAINING_JOB_STATE_PAUSED
    for _ in range(2):
        resumed = await api.training.ResumeTrainingJob(pb.ResumeTrainingJobRequest(name=name))
        assert resumed.state == pb.TRAINING_JOB_STATE_QUEUED
    for _ in range(2):
        cancelled = await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
        assert cancelled.state == pb.TRAINING_JOB_STATE_CANCELLED
    for call in (
        api.training.PauseTrainingJob(pb.PauseTrainingJobRequest(name=name)),
        api.training.ResumeTrainingJob(pb.ResumeTrainingJobRequest(name=name)),
    ):
        assert reason_of(await refusal(call)) == "JOB_HAS_ENDED"
    await api.training.DeleteTrainingJob(pb.DeleteTrainingJobRequest(name=name))
    error = await refusal(api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=name)))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_plans_are_made_for_hardware_that_is_not_there(api: Api) -> None:
    spec = job_request().training_job.spec
    hardware = pb.PlannedHardware(gpus=2, gpu_model="A5000")
    plan = await api.training.PlanTraining(pb.PlanTrainingRequest(spec=spec, hardware=hardware))
    assert [(fit.worker, fit.available_bytes, fit.fits) for fit in plan.fits] == [("2 x RTX A5000", 24 << 30, True)]
    assert plan.effective_batch_size == 8
    hardware = pb.PlannedHardware(gpu_memory_bytes=(1 << 30) + (1 << 20))
    spec.hyperparameters.per_device_train_batch_size = 8
    plan = await api.training.PlanTraining(pb.PlanTrainingRequest(spec=spec, hardware=hardware))
    assert plan.remedies[0].changes.gradient_accumulation_steps == 8
    assert not plan.remedies[-1].fits
    hardware = pb.PlannedHardware(gpu_model="A5001")
    error = await refusal(api.training.PlanTraining(pb.PlanTrainingRequest(spec=spec, hardware=hardware)))
    assert "A5000" in violations(error)["hardware.gpu_model"].description


async def test_deepspeeds_configuration_is_generated(api: Api) -> None:
    request = pb.GenerateDeepSpeedConfigRequest(preset=pb.DEEP_SPEED_PRESET_ULTRA_LARGE, processes=2)
    made = await api.training.GenerateDeepSpeedConfig(request)
    assert json.loads(made.json)["zero_optimization"]["stage"] == 3
    wanted = job_request()
    wanted.training_job.spec.hyperparameters.MergeFrom(made.hyperparameters)
    wanted.validate_only = True
    job = await api.training.CreateTrainingJob(wanted)
    assert job.spec.hyperparameters.offload_param == pb.OFFLOAD_DEVICE_CPU
    request.nvme_path, request.preset = "/fast", pb.DEEP_SPEED_PRESET_LARGE
    error = await refusal(api.training.GenerateDeepSpeedConfig(request))
    assert "nvme_path" in violations(error)


async def test_a_plan_counts_parameters_steps_and_memory(api: Api) -> None:
    spec = job_request(hyperparameters={"lora_r": 16, "num_train_epochs": 2}).training_job.spec
    plan = await api.training.PlanTraining(pb.PlanTrainingRequest(spec=spec))
    assert plan.parameters == 2_160_000
    # 4 layers x 16 x (q 384 + k 256 + v 256 + o 384 + gate 704 + up 704 + down 704)
    assert plan.trainable_parameters == 4 * 16 * 3392
    assert (plan.train_rows, plan.eval_rows) == (95, 5)
    assert plan.steps == 2 * 24
    assert plan.effective_batch_size == 4
    assert plan.memory_bytes == sum(part.size_bytes for part in plan.memory)
    assert any("No worker" in note.en for note in plan.notes)
    assert any("95" in note.ja for note in plan.notes)
    error = await refusal(
        api.training.PlanTraining(
            pb.PlanTrainingRequest(spec=job_request(hyperparameters={"lora_r": 0}).training_job.spec)
        )
    )
    assert "spec.hyperparameters.lora_r" in violations(error)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([True] * 250, "All 250 rows have the label true; "),
        ([False] * 5000, "All 1,000 rows that were looked at, of 5,000, have the label false; "),
        ([True] * 4999 + [False], ""),
        ([False, True], ""),
    ],
)
async def test_answers_of_one_kind_only_are_told_before_the_training(
    api: Api, peers: Peers, labels: list[bool], told: str
) -> None:
    peers.data.labels, peers.data.rows = labels, len(labels)
    request = job_request(hyperparameters={"objective": "TRAINING_OBJECTIVE_KTO"})
    planned = (await api.training.PlanTraining(pb.PlanTrainingRequest(spec=request.training_job.spec))).notes
    request.validate_only = True
    checked = (await api.training.CreateTrainingJob(request)).notes
    request.validate_only = False
    job = await api.training.CreateTrainingJob(request)
    kept = (await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=job.name))).notes
    assert list(kept) == list(checked) == [note for note in planned if "label" in note.en]
    assert [note.en.partition("KTO")[0] for note in kept] == ([told] if told else [])
    assert all(f"Add rows with the label {str(not labels[0]).lower()}" in note.en for note in kept)
