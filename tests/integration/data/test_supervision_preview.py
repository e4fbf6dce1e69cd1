"""Which tokens are trained, told by the running service with the registry's files; equal to what the trainer makes."""

from __future__ import annotations

import json
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from aift.data.v1 import data_pb2 as pb
from transformers import AutoTokenizer

from services.training_service.resolution import template_of
from services.training_service.trainer.data import prepare
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.job import BaseModel, JobFile, Rows
from tests.conftest import find_free_port
from tests.integration.data.conftest import DataService, User, jsonl, qa, reason_of
from tests.integration.data.registry_peer import IMPORTING, READY, RegistryPeer, served

TINY = Path(__file__).resolve().parents[3] / "samples" / "models" / "tiny-ja"
CHAT = {
    "messages": [
        {"role": "system", "content": "丁寧に。"},
        {"role": "user", "content": "部署は？"},
        {"role": "assistant", "content": "総務課です。"},
        {"role": "user", "content": "内線は？"},
        {"role": "assistant", "content": "123 です。"},
    ]
}
PLAIN = {"text": "会議は 3 階の会議室で行います。"}
ALPACA = {"instruction": "要約してください。", "input": "長い文です。", "output": "短い文。"}


@pytest.fixture(scope="module")
def serving(make_service: Callable[..., DataService]) -> tuple[DataService, int]:
    """A data service that knows a registry's port."""
    port = find_free_port()
    service = make_service(AIFT_REGISTRY_ADDRESS=f"127.0.0.1:{port}", AIFT_SUPERVISION_IDLE_SECONDS="8")
    service.start()
    return service, port


@pytest.fixture
async def user(serving: tuple[DataService, int], tmp_path: Path) -> AsyncIterator[User]:
    """An editor beside a registry with two models: tiny-ja, and one without offsets."""
    strange = tmp_path / "strange"
    shutil.copytree(TINY, strange)
    (strange / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}> {{ m.content }}\n{% endfor %}")
    service, port = serving
    server = await served(RegistryPeer(tiny_ja=TINY, strange=strange), port)
    async with User(service, uuid.uuid4().hex[:12]) as someone:
        yield someone
    await server.stop(0)


async def preview(user: User, name: str, **options: Any) -> pb.PreviewSupervisionResponse:
    options = {"base_model": READY, **options}
    return await user.stub.PreviewSupervision(pb.PreviewSupervisionRequest(name=name, **options))


def marked(row: pb.SupervisedRow) -> str:
    text, inside = "", False
    for token in row.tokens:
        text += ("⟦" if token.trained else "⟧") if token.trained != inside else ""
        text, inside = text + token.text, token.trained
    return text + ("⟧" if inside else "")


async def test_the_answer_and_its_stop_token_are_trained(user: User) -> None:
    version = (await user.validate(qa(30))).dataset_version
    found = await preview(user, version, offset=7, limit=2)
    assert [marked(row) for row in found.rows] == [
        f"質問: {i} 番の部署は？\n回答: ⟦総務{i}課です。</s>⟧" for i in (7, 8)
    ]
    assert [row.index for row in found.rows] == [7, 8]
    assert all(row.stop_trained for row in found.rows)
    assert found.total_rows == 30
    assert found.tokens == sum(len(row.tokens) for row in found.rows)
    assert 0 < found.trained_tokens < found.tokens


@pytest.mark.parametrize(
    "row", [CHAT, PLAIN, ALPACA, {"text": "質問: a\n回答: b"}], ids=["chat", "plain", "alpaca", "qa"]
)
async def test_the_preview_is_what_the_trainer_makes(row: dict[str, Any], user: User, tmp_path: Path) -> None:
    version = (await user.validate(jsonl(row, row))).dataset_version
    found = (await preview(user, version, limit=1, max_length=64)).rows[0]
    seen = await user.stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=version))
    rows = b"".join(
        [piece.data async for piece in user.stub.ReadDataset(pb.ReadDatasetRequest(name=version, path="rows.parquet"))]
    )
    (tmp_path / "rows.parquet").write_bytes(rows)
    job = JobFile(
        base_model=BaseModel(path=str(TINY)),
        dataset=Rows(path=str(tmp_path / "rows.parquet")),
        template=json.loads(template_of(seen.template).to_json()),
        hyperparameters=Hyperparameters(),
    )
    tokenizer = AutoTokenizer.from_pretrained(str(TINY))
    trained = prepare(job, tokenizer, 64, lambda _: None).train[0]
    assert [token.id for token in found.tokens] == trained.ids.tolist()
    assert [token.trained for token in found.tokens][1:] == trained.trained.tolist()[1:]


async def test_rows_that_lose_their_answer_are_told(user: User) -> None:
    version = (await user.validate(qa(3))).dataset_version
    found = await preview(user, version, max_length=4)
    assert (found.truncated_rows, found.untrained_rows, found.trained_tokens) == (3, 3, 0)
    assert {finding.reason: finding.count for finding in found.findings} == {"NOTHING_TRAINED": 3, "ROW_TRUNCATED": 3}
    assert found.findings[0].severity == pb.SEVERITY_ERROR
    assert found.findings[0].examples[1].line == 2


async def test_both_answers_of_a_preference_are_shown(user: User) -> None:
    rows = [{"prompt": f"{i}？", "chosen": "はい", "rejected": "いいえ"} for i in range(3)]
    version = (await user.validate(jsonl(*rows))).dataset_version
    found = await preview(user, version)
    assert [(row.index, row.answer) for row in found.rows] == [
        (index, answer) for index in range(3) for answer in ("chosen", "rejected")
    ]
    texts = ["".join(token.text for token in row.tokens if token.trained) for row in found.rows[:2]]
    assert [text.removesuffix("</s>") for text in texts] == ["はい", "いいえ"]
    assert all(row.stop_trained for row in found.rows)
    assert not found.findings


@pytest.mark.parametrize(
    ("base_model", "reason"),
    [
        ("baseModels/strange", "TEMPLATE_NOT_MARKED"),
        ("baseModels/unknown", "NOT_FOUND"),
        (IMPORTING, "FAILED_PRECONDITION"),
        ("nonsense", "INVALID_ARGUMENT"),
    ],
)
async def test_models_that_cannot_render(base_model: str, reason: str, user: User) -> None:
    version = (await user.validate(jsonl(CHAT, CHAT))).dataset_version
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await preview(user, version, base_model=base_model)
    assert reason_of(caught.value) == reason


async def test_the_process_stays_warm_is_replaced_when_it_dies_and_ends_when_idle(user: User) -> None:
    version = (await user.validate(qa(30))).dataset_version
    await preview(user, version)
    (process,) = user.service.children("supervision")
    await preview(user, version, offset=10)
    assert user.service.children("supervision") == [process]
    process.send_signal(signal.SIGKILL)
    assert len((await preview(user, version)).rows) == 10
    (replaced,) = user.service.children("supervision")
    assert replaced.pid != process.pid
    replaced.wait(60)
    assert user.service.children("supervision") == []
