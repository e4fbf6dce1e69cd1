"""A server between its start and its end: health, readiness, deadlines, what travels, and draining."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from aift.data.v1 import data_pb2, data_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.core.channels import channel
from services.core.context import RequestContext, current
from services.core.errors import InvalidArgument, NotFound, OutOfRange, Unavailable, Violation
from services.core.relay import reason_of, status_of
from services.core.server import GrpcServer, PortTaken
from tests.integration.core.conftest import Answers, Start

Connect = Callable[..., Any]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
GET = data_pb2.GetDatasetRequest()


class Switch:
    """A dependency that can be taken away."""

    def __init__(self, well: bool = True) -> None:
        self.well = well

    async def __call__(self) -> None:
        if not self.well:
            raise Unavailable("database")


async def health_of(server: GrpcServer, service: str = "") -> int:
    async with channel(f"127.0.0.1:{server.port}") as opened:
        answer = await health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def health_becomes(server: GrpcServer, wanted: int, within_s: float = 60) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if await health_of(server) == wanted:
            return True
        await asyncio.sleep(0.05)
    return False


async def get_http(server: GrpcServer, path: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def answer(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
    return data_pb2.Dataset(name=request.name)


async def test_health_follows_the_dependency(start: Start) -> None:
    database = Switch()
    server = await start({"database": database})
    assert await health_becomes(server, SERVING)
    assert await health_of(server, "aift.data.v1.DataService") == SERVING
    database.well = False
    assert await health_becomes(server, NOT_SERVING)
    assert await health_of(server, "aift.data.v1.DataService") == NOT_SERVING
    status, body = await get_http(server, "/readyz")
    assert status == 503
    assert "database" in json.loads(body)["failing"]
    assert (await get_http(server, "/livez"))[0] == 200
    database.well = True
    assert await health_becomes(server, SERVING)
    assert (await get_http(server, "/readyz"))[0] == 200


async def test_calls_wait_outside_until_everything_was_there_once(
    start: Start, connect: Connect, answers: Answers, make_token: Any
) -> None:
    answers.get = answer
    database = Switch(well=False)
    server = await start({"database": database})
    stub = connect(server, make_token())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetDataset(GET)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(caught.value) == "UNAVAILABLE"
    database.well = True
    await asyncio.wait_for(server.wait_ready(), 60)
    assert await stub.GetDataset(GET) is not None
    # Later absence is told by the calls that need it, not by the door.
    database.well = False
    await server.readiness.look()
    assert await stub.GetDataset(GET) is not None


async def test_a_check_that_crashes_or_hangs_is_not_ready(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.core.readiness._WITHIN_S", 0.1)

    async def crash() -> None:
        raise ZeroDivisionError

    async def hang() -> None:
        await asyncio.sleep(60)

    server = await start({"crash": crash, "hang": hang})
    await server.readiness.look()
    assert set(server.readiness.failing) == {"crash", "hang"}
    assert await health_of(server) == NOT_SERVING


async def test_metrics_count_calls(start: Start, connect: Connect, answers: Answers, make_token: Any) -> None:
    answers.get = answer
    server = await start()
    await connect(server, make_token()).GetDataset(GET)
    _, text = await get_http(server, "/metrics")
    assert 'aift_rpcs_total{code="OK",method="/aift.data.v1.DataService/GetDataset"}' in text
    assert 'aift_rpc_seconds_bucket{le="0.005",method="/aift.data.v1.DataService/GetDataset"}' in text
    assert 'aift_rpcs_running{method="/aift.data.v1.DataService/GetDataset"} 0.0' in text


async def test_domain_errors_arrive_whole(start: Start, connect: Connect, answers: Answers, make_token: Any) -> None:
    async def fail(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        raise InvalidArgument([Violation(f"f{n}", "BAD", "x" * 500, "あ" * 500) for n in range(1000)])

    answers.get = fail
    server = await start()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await connect(server, make_token()).GetDataset(GET, metadata=(("accept-language", "ja"),))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = status_of(caught.value)
    assert status is not None
    assert status.message == caught.value.details()
    assert "1000 個" in status.message


async def test_the_longest_errors_arrive_every_time(
    start: Start, connect: Connect, answers: Answers, make_token: Any
) -> None:
    async def refuse(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        raise InvalidArgument([Violation(f"rows[{n}]." + "長" * 100, "BAD", "e" * 90, "長" * 90) for n in range(10)])

    answers.get = refuse
    stub = connect(await start(), make_token())
    # gRPC throws trailers that are a little too large away at random.
    for _ in range(50):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetDataset(GET)
        assert reason_of(caught.value) == "INVALID_ARGUMENT"


async def test_an_error_in_the_middle_of_a_stream(
    start: Start, connect: Connect, answers: Answers, make_token: Any
) -> None:
    async def read(request: data_pb2.ReadDatasetRequest) -> AsyncIterator[data_pb2.ReadDatasetResponse]:
        yield data_pb2.ReadDatasetResponse(data=b"first")
        raise OutOfRange("offset", value=9, expected=5)

    answers.read = read
    server = await start()
    got = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012 - what came before the error counts
        async for one in connect(server, make_token()).ReadDataset(data_pb2.ReadDatasetRequest()):
            got.append(one.data)  # noqa: PERF401
    assert got == [b"first"]
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_request_streams(start: Start, connect: Connect, answers: Answers, make_token: Any) -> None:
    async def write(requests: AsyncIterator[data_pb2.WriteUploadRequest]) -> data_pb2.Upload:
        return data_pb2.Upload(committed_bytes=sum([len(r.data) async for r in requests]))

    answers.write = write
    server = await start()

    async def send() -> AsyncIterator[data_pb2.WriteUploadRequest]:
        for _ in range(3):
            yield data_pb2.WriteUploadRequest(data=bytes(1 << 20))

    assert (await connect(server, make_token()).WriteUpload(send())).committed_bytes == 3 << 20


async def test_a_call_without_a_deadline_gets_one(start: Start, answers: Answers, make_token: Any) -> None:
    ended: list[str] = []

    async def slow(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")
        return data_pb2.Dataset()

    answers.get = slow
    server = await start(default_deadline_seconds=0.2)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await data_pb2_grpc.DataServiceStub(opened).GetDataset(
                GET, metadata=(("authorization", f"Bearer {make_token()}"),)
            )
    assert reason_of(caught.value) == "DEADLINE_EXCEEDED"
    assert ended == ["cancelled"]


async def test_a_client_that_leaves_ends_the_work(
    start: Start, connect: Connect, answers: Answers, make_token: Any
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def read(request: data_pb2.ReadDatasetRequest) -> AsyncIterator[data_pb2.ReadDatasetResponse]:
        try:
            yield data_pb2.ReadDatasetResponse()
            begun.set()
            await asyncio.sleep(60)
        finally:
            ended.set()

    answers.read = read
    server = await start()
    call = connect(server, make_token()).ReadDataset(data_pb2.ReadDatasetRequest())
    await call.read()
    await begun.wait()
    call.cancel()
    await asyncio.wait_for(ended.wait(), 30)


async def test_the_request_id_travels_from_service_to_service(
    start: Start, connect: Connect, answers: Answers, make_token: Any
) -> None:
    seen: list[RequestContext] = []
    inner_stub: list[Any] = []

    async def get(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        seen.append(current())
        if request.name == "outer":
            await inner_stub[0].GetDataset(data_pb2.GetDatasetRequest(name="inner"))
        return data_pb2.Dataset()

    answers.get = get
    server = await start()
    inner_stub.append(connect(server, make_token("service", tenant="system", subject="training")))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        metadata = (("authorization", f"Bearer {make_token()}"), ("traceparent", f"00-{trace}-00f067aa0ba902b7-01"))
        await data_pb2_grpc.DataServiceStub(opened).GetDataset(
            data_pb2.GetDatasetRequest(name="outer"), metadata=metadata
        )
    assert [(one.request_id, one.tenant, one.principal) for one in seen] == [(trace, "acme", "alice")] * 2
    assert [one.role for one in seen] == ["editor", "service"]


async def test_what_another_service_says_about_the_request_is_passed_on(
    start: Start, connect: Connect, answers: Answers, make_token: Any
) -> None:
    inner_stub: list[Any] = []

    async def get(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        if request.name.startswith("outer"):
            return await inner_stub[0].GetDataset(data_pb2.GetDatasetRequest(name=request.name[6:]))
        if request.name == "missing":
            raise NotFound("datasets/missing")
        raise RuntimeError

    answers.get = get
    server = await start()
    inner_stub.append(connect(server, make_token("service")))
    for name, code, reason in [
        ("missing", grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        ("crash", grpc.StatusCode.INTERNAL, "INTERNAL"),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await connect(server, make_token()).GetDataset(data_pb2.GetDatasetRequest(name=f"outer-{name}"))
        assert (caught.value.code(), reason_of(caught.value)) == (code, reason)


async def test_an_inner_service_that_is_away_is_unavailable(
    start: Start, connect: Connect, answers: Answers, make_token: Any, free_port: int
) -> None:
    async def get(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        async with channel(f"127.0.0.1:{free_port}") as nowhere:
            return await data_pb2_grpc.DataServiceStub(nowhere).GetDataset(GET)

    answers.get = get
    server = await start()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await connect(server, make_token()).GetDataset(GET)
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")


async def test_a_draining_server_finishes_what_it_began(
    start: Start, connect: Connect, answers: Answers, make_token: Any
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def get(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        begun.set()
        await go_on.wait()
        return data_pb2.Dataset(name="finished")

    answers.get = get
    server = await start(drain_seconds=10)
    running = asyncio.ensure_future(connect(server, make_token()).GetDataset(GET))
    await begun.wait()
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0.2)
    assert not stopping.done()
    assert (await get_http(server, "/readyz"))[0] == 503
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as late:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await data_pb2_grpc.DataServiceStub(late).GetDataset(GET, timeout=1)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    go_on.set()
    assert (await running).name == "finished"
    await asyncio.wait_for(stopping, 60)


async def test_draining_ends(start: Start, connect: Connect, answers: Answers, make_token: Any) -> None:
    begun = asyncio.Event()

    async def get(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        begun.set()
        await asyncio.sleep(60)
        return data_pb2.Dataset()

    answers.get = get
    server = await start(drain_seconds=0.2)
    running = asyncio.ensure_future(connect(server, make_token()).GetDataset(GET))
    await begun.wait()
    started = time.monotonic()
    await server.stop()
    assert time.monotonic() - started < 30
    with pytest.raises(grpc.aio.AioRpcError):
        await running


async def test_a_taken_port_is_told(start: Start) -> None:
    server = await start()
    with pytest.raises(PortTaken, match=str(server.port)):
        await start(listen=f"127.0.0.1:{server.port}")
    with pytest.raises(PortTaken, match=str(server.http_port)):
        await start(http_listen=f"127.0.0.1:{server.http_port}")
