"""Calls: identity, retries, errors, streams that resume."""

import threading
import time
from typing import Any

import grpc
import pytest
from aift.client import Client
from aift.errors import AiftError
from aift.jobs import TrainingError
from aift.training.v1 import training_pb2

from services.core import errors


def away(context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.UNAVAILABLE, "going away")


def test_who_calls_and_under_which_trace(system: Any) -> None:
    system.client.uploads.create("f")
    assert system.data.metadata["authorization"] == "Bearer secret"
    version, trace, span, flags = system.data.metadata["traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    with Client(token="t", addresses=system.addresses, tenant="other") as client:
        client.uploads.create("f")
    assert system.data.metadata["x-aift-tenant"] == "other"


def test_a_service_that_is_away_is_tried_again_with_the_same_request_id(system: Any) -> None:
    system.faults.calls = [away, away]
    assert system.client.uploads.create("f").name == "uploads/u1"
    assert len(system.data.request_ids) == 3
    assert len(set(system.data.request_ids)) == 1
    system.client.uploads.create("f")
    assert len(set(system.data.request_ids)) == 2


def test_patience_ends(system: Any) -> None:
    system.faults.calls = [away] * 1000
    with Client(token="t", addresses=system.addresses, patience_s=0.3) as client:
        begin = time.monotonic()
        with pytest.raises(AiftError, match="aift up") as caught:
            client.uploads.create("f")
    assert time.monotonic() - begin < 30
    assert caught.value.reason == "SERVICE_UNREACHABLE"
    assert caught.value.metadata["cause"] == "going away"
    assert len(caught.value.request_id) == 32


def test_other_failures_are_not_repeated(system: Any) -> None:
    system.faults.calls = [lambda context: context.abort(grpc.StatusCode.INTERNAL, "oops")]
    with pytest.raises(AiftError) as caught:
        system.client.uploads.create("f")
    assert (caught.value.reason, caught.value.code) == ("INTERNAL", grpc.StatusCode.INTERNAL)
    assert len(system.data.request_ids) == 1


def test_a_services_error_keeps_reason_languages_and_fields(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AiftError) as caught:
        system.client.datasets.get("nobody")
    error = caught.value
    assert (error.reason, error.code) == ("NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    assert error.message_en != error.message_ja
    monkeypatch.setenv("AIFT_LANG", "ja")
    assert error.message == error.message_ja
    violation = errors.Violation("lora_r", "OUT_OF_RANGE", "1 / 2 in English", "日本語で 1 / 2")
    system.faults.generations = [errors.InvalidArgument(violations=[violation])]
    with pytest.raises(AiftError) as caught:
        system.client.generate("m", "p")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    told = caught.value.violations[0]
    assert (told.field, told.reason, told.message_en, told.message_ja) == (
        "lora_r",
        "OUT_OF_RANGE",
        "1 / 2 in English",
        "日本語で 1 / 2",
    )
    assert caught.value.as_dict()["code"] == "INVALID_ARGUMENT"


def test_a_full_queue_is_waited_for_as_long_as_the_service_asks(system: Any) -> None:
    system.faults.generations = [errors.ResourceExhausted("queue", limit=64, retry_after_s=0.2) for _ in range(3)]
    begin = time.monotonic()
    answer = system.client.generate("m", "p", max_length=7, temperature=0)
    assert time.monotonic() - begin >= 0.6
    assert answer.text == "models/m: p"
    assert system.inference.request.sampling.max_new_tokens == 7
    assert system.inference.request.sampling.HasField("temperature")
    assert not system.inference.request.sampling.HasField("top_p")


def test_an_answer_in_pieces(system: Any) -> None:
    system.faults.streams = [0]  # broken before its first message: made again
    pieces = list(system.client.generate_stream("baseModels/b", "p"))
    assert "".join(piece.text for piece in pieces) == "東京です。"
    assert pieces[-1].finish_reason


def test_a_cut_answer_is_an_error_and_never_looks_complete(system: Any) -> None:
    system.faults.streams = [2]
    pieces = []
    with pytest.raises(AiftError):
        pieces.extend(piece for piece in system.client.generate_stream("m", "p"))
    assert not any(piece.finish_reason for piece in pieces)


def test_watching_goes_on_behind_the_last_event(system: Any) -> None:
    system.faults.watches = [3, 0, 2]
    reasons: list[str] = []
    events = list(system.client.training.watch("j1", on_reconnect=lambda error: reasons.append(error.reason)))
    assert [event.sequence for event in events] == list(range(1, 10))
    assert system.training.asked == [0, 3, 3, 5]
    assert reasons == ["SERVICE_UNREACHABLE"] * 3


def test_watching_an_ended_job_from_its_end(system: Any) -> None:
    assert list(system.client.training.watch("j1", after_sequence=9)) == []


def test_a_stream_that_ends_too_early_is_opened_again(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = system.training.all_events
    shown = [2]
    monkeypatch.setattr(system.training, "all_events", lambda: whole()[: shown[0]])
    monkeypatch.setattr(system.training, "state", training_pb2.TRAINING_JOB_STATE_SUCCEEDED)
    watcher = system.client.training.watch("j1")
    assert [next(watcher).sequence, next(watcher).sequence] == [1, 2]
    shown[0] = 9
    assert [event.sequence for event in watcher] == list(range(3, 10))


def test_waiting_for_a_job(system: Any) -> None:
    assert system.client.training.wait("j1").model_version == "models/m/versions/1"
    system.training.state = training_pb2.TRAINING_JOB_STATE_FAILED
    with pytest.raises(TrainingError, match="memory was not enough") as caught:
        system.client.training.wait("j1")
    assert caught.value.reason == "OUT_OF_MEMORY"
    assert caught.value.job.state == training_pb2.TRAINING_JOB_STATE_FAILED
    system.training.state = training_pb2.TRAINING_JOB_STATE_CANCELLED
    with pytest.raises(TrainingError, match="CANCELLED"):
        system.client.training.wait("j1")


def test_logs(system: Any) -> None:
    assert list(system.client.training.logs("j1")) == ["one", "two"]
    assert list(system.client.training.logs("j1", follow=True)) == ["one", "two"]


def test_a_spec_from_short_names(system: Any) -> None:
    spec = system.client.training.spec("tiny-ja", "d", {"epochs": 2}, model="m", eval_dataset_version="e/versions/1")
    system.client.training.create(spec, display_name="名前", priority=7)
    job = system.training.created.training_job
    assert job.spec.base_model == "baseModels/tiny-ja"
    assert job.spec.dataset_version == "datasets/d"
    assert job.spec.eval_dataset_version == "datasets/e/versions/1"
    assert job.spec.model == "models/m"
    assert (job.display_name, job.priority, job.spec.hyperparameters.num_train_epochs) == ("名前", 7, 2)
    assert system.training.created.request_id


def test_health_does_not_raise(system: Any) -> None:
    assert system.client.health() == dict.fromkeys(("data", "training", "registry", "inference"), False)


def test_one_client_serves_many_threads(system: Any) -> None:
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(system.client.generate("m", str(n)).text)) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"models/m: {n}" for n in range(20))
