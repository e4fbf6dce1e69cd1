"""Looking at a version: any page of rows, and its bytes from any offset."""

from __future__ import annotations

import json

import grpc
import pytest
from aift.data.v1 import data_pb2 as pb

from tests.integration.data.conftest import MIB, User, jsonl, qa, reason_of


async def read(user: User, name: str, path: str = "", offset: int = 0) -> bytes:
    stream = user.stub.ReadDataset(pb.ReadDatasetRequest(name=name, path=path, offset_bytes=offset))
    return b"".join([answer.data async for answer in stream])


async def test_any_page(either_user: User) -> None:
    data = qa(500)
    name = (await either_user.validate(data)).dataset_version
    for offset in (0, 1, 63, 64, 65, 300, 499):
        page = await either_user.stub.PreviewRows(pb.PreviewRowsRequest(name=name, offset=offset, limit=3))
        assert page.total_rows == 500
        assert [row.index for row in page.rows] == list(range(offset, min(offset + 3, 500)))
        assert [row.line for row in page.rows] == [row.index + 1 for row in page.rows]
        assert page.rows[0].prompt == f"{offset} 番の部署は？"
        assert page.rows[0].completion == f"総務{offset}課です。"
    past = await either_user.stub.PreviewRows(pb.PreviewRowsRequest(name=name, offset=500))
    assert (list(past.rows), past.total_rows) == ([], 500)


async def test_lines_keep_their_numbers_over_blank_ones_bom_and_crlf(user: User) -> None:
    lines = [json.dumps({"text": f"行{i}"}, ensure_ascii=False) + "\r\n" + "\r\n" * (i % 3) for i in range(200)]
    name = (await user.validate(b"\xef\xbb\xbf" + "".join(lines).encode())).dataset_version
    numbers = [1 + i + sum(j % 3 for j in range(i)) for i in range(200)]
    for offset in (0, 64, 150):
        page = await user.stub.PreviewRows(pb.PreviewRowsRequest(name=name, offset=offset, limit=40))
        assert [row.line for row in page.rows] == numbers[offset : offset + 40]
        assert [json.loads(row.json)["text"] for row in page.rows] == [f"行{i}" for i in range(offset, offset + 40)]


async def test_large_rows_make_short_pages(user: User) -> None:
    name = (await user.validate(jsonl(*({"text": "あ" * 300_000} for _ in range(5))))).dataset_version
    seen = 0
    while seen < 5:
        page = await user.stub.PreviewRows(pb.PreviewRowsRequest(name=name, offset=seen, limit=5))
        assert page.rows
        seen += len(page.rows)


async def test_forms_are_shown_as_prompt_and_completion(user: User) -> None:
    pair = jsonl({"instruction": "訳して", "input": "猫", "response": "cat"})
    turns = jsonl({"messages": [{"role": "user", "content": "やあ"}, {"role": "assistant", "content": "はい"}]})
    for data, prompt, completion in ((pair, "訳して\n\n猫", "cat"), (turns, "user: やあ", "はい")):
        dataset = (await user.dataset()).name
        await user.validate(data, dataset=dataset)
        (row,) = (await user.stub.PreviewRows(pb.PreviewRowsRequest(name=dataset))).rows
        assert (row.prompt, row.completion) == (prompt, completion)


@pytest.mark.parametrize("wrong", [{"offset": -1}, {"limit": 101}, {"limit": -1}])
async def test_pages_out_of_bounds(user: User, wrong: dict[str, int]) -> None:
    name = (await user.validate(qa(2))).dataset_version
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.PreviewRows(pb.PreviewRowsRequest(name=name, **wrong))  # type: ignore[arg-type]
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_bytes_from_any_offset(either_user: User) -> None:
    data = qa(40_000)
    assert len(data) > 2 * MIB
    name = (await either_user.validate(data)).dataset_version
    assert await read(either_user, name) == data
    assert await read(either_user, name, "original/data.jsonl", 1_500_000) == data[1_500_000:]
    assert await read(either_user, name, offset=len(data)) == b""
    assert (await read(either_user, name, "rows.parquet"))[:4] == b"PAR1"


async def test_bytes_that_are_not_there(user: User) -> None:
    data = qa(3)
    name = (await user.validate(data)).dataset_version
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await read(user, name, offset=len(data) + 1)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_RANGE")
    for path in ("rows.index", "original/../../x", "other"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await read(user, name, path)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    for wrong in ("datasets/a/versions/0", "datasets/a/versions/../1", "datasets/a"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await read(user, wrong)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
