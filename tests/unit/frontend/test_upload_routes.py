"""The page's own routes for files: who may send, what reaches the service, what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
from aift import AiftError
from aift.data.v1 import data_pb2
from starlette.applications import Starlette

from frontend import downloads, uploads, visitors

OURS = {"x-aift-page": "1", "sec-fetch-site": "same-origin"}


class Uploads:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.longest = 0
        self.finalized = False

    def create(self, filename: str, size_bytes: int) -> data_pb2.Upload:
        return data_pb2.Upload(name="uploads/u", filename=filename, size_bytes=size_bytes)

    def get(self, name: str) -> data_pb2.Upload:
        if name != "uploads/u":
            raise AiftError("NOT_FOUND", grpc.StatusCode.NOT_FOUND, "gone", "ありません")
        state = data_pb2.UPLOAD_STATE_FINALIZED if self.finalized else data_pb2.UPLOAD_STATE_OPEN
        return data_pb2.Upload(name=name, committed_bytes=len(self.content), state=state)

    def write(self, name: str, pieces: Iterator[tuple[int, bytes]]) -> data_pb2.Upload:
        for offset, data in pieces:
            if offset != len(self.content):
                raise AiftError("UPLOAD_OFFSET", grpc.StatusCode.OUT_OF_RANGE, "gap", "ずれ")
            self.content += data
            self.longest = max(self.longest, len(data))
        return self.get(name)

    def finalize(self, name: str) -> data_pb2.Upload:
        self.finalized = True
        return self.get(name)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AIFT_PAGE_HOST", "0.0.0.0")
    entry = data_pb2.DatasetVersion(name="datasets/d/versions/1", filename="質問.csv")
    entry.files.add(path="set-aside.jsonl", size_bytes=4)
    datasets = SimpleNamespace(version=lambda name: entry, read=lambda name, path: iter([b"ro", b"ws"]))
    client = SimpleNamespace(uploads=Uploads(), datasets=datasets)
    monkeypatch.setattr(visitors, "client_of", lambda token: client)
    return client


@pytest.fixture
async def browser(service: Any) -> AsyncIterator[httpx.AsyncClient]:
    del service
    app = Starlette(routes=[*uploads.routes(), *downloads.routes()])
    cookies = {visitors.TOKEN_COOKIE: "t"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://page", cookies=cookies, headers=OURS) as opened:
        yield opened


async def test_a_file_goes_through_in_pieces(browser: httpx.AsyncClient, service: Any) -> None:
    begun = await browser.post("/uploads", json={"filename": "質問.jsonl", "size_bytes": 3_000_000})
    assert begun.json()["name"] == "uploads/u"
    content = bytes(range(256)) * 10_000
    sent = await browser.put("/uploads/u?offset=0", content=content)
    assert sent.json()["committed_bytes"] == len(content)
    assert service.uploads.longest == uploads.PIECE_BYTES
    again = await browser.put(f"/uploads/u?offset={len(content)}", content=b"end")
    assert again.json()["committed_bytes"] == len(content) + 3
    assert bytes(service.uploads.content) == content + b"end"
    assert (await browser.post("/uploads/u/finalize")).json()["finalized"]


async def test_refusals_have_reason_and_both_languages(browser: httpx.AsyncClient) -> None:
    gap = await browser.put("/uploads/u?offset=7", content=b"x")
    assert (gap.status_code, gap.json()["reason"]) == (409, "UPLOAD_OFFSET")
    assert gap.json()["message"] == {"ja": "ずれ", "en": "gap"}
    assert (await browser.get("/uploads/other")).status_code == 404
    assert (await browser.post("/uploads", content=b"[" * 9000)).status_code == 400
    assert (await browser.put("/uploads/u?offset=x")).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"x-aift-page": "", "sec-fetch-site": "same-origin"},
        {"x-aift-page": "1", "sec-fetch-site": "cross-site"},
        {"x-aift-page": "1", "sec-fetch-site": "same-site"},
    ],
)
async def test_other_sites_cannot_send(browser: httpx.AsyncClient, headers: dict[str, str], service: Any) -> None:
    refused = await browser.put("/uploads/u?offset=0", content=b"x", headers=headers)
    assert (refused.status_code, refused.json()["reason"]) == (403, "OTHER_SITE")
    assert not service.uploads.content


async def test_without_fetch_metadata_the_origin_decides(browser: httpx.AsyncClient) -> None:
    del browser.headers["sec-fetch-site"]
    assert (await browser.get("/uploads/u")).status_code == 403
    assert (await browser.get("/uploads/u", headers={"origin": "http://other"})).status_code == 403
    assert (await browser.get("/uploads/u", headers={"origin": "http://page"})).status_code == 200


async def test_strangers_sign_in_first(browser: httpx.AsyncClient) -> None:
    browser.cookies.clear()
    assert (await browser.post("/uploads", json={"filename": "a", "size_bytes": 1})).status_code == 401
    assert (await browser.get("/downloads/datasets/d/versions/1/set-aside")).status_code == 401


async def test_a_versions_file_comes_back(browser: httpx.AsyncClient) -> None:
    got = await browser.get(downloads.address("datasets/d/versions/1", "set-aside"))
    assert got.content == b"rows"
    assert "%E8%B3%AA%E5%95%8F.set-aside.jsonl" in got.headers["content-disposition"]
    assert (await browser.get(downloads.address("datasets/d/versions/1", "canonical"))).status_code == 404
