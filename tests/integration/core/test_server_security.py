"""Attempts to get past the door of a running server."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from aift.common.v1 import auth_pb2
from aift.data.v1 import data_pb2, data_pb2_grpc
from aift.inference.v1 import inference_pb2
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2, worker_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.core.access import declared_roles
from services.core.channels import channel
from services.core.context import RequestContext, acting, current
from services.core.relay import reason_of, status_of
from services.core.server import GrpcServer
from tests.integration.core.conftest import Answers, Start

Connect = Callable[..., Any]
GET = "/aift.data.v1.DataService/GetDataset"


async def answer(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
    return data_pb2.Dataset(name=request.name)


async def code_of(call: Awaitable[Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


@pytest.fixture
async def server(start: Start, answers: Answers) -> GrpcServer:
    answers.get = answer
    return await start()


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", ""),), (("authorization", "Bearer "),), (("authorization", "Bearer x.y.z"),),
     (("authorization", "Basic YTpi"),), (("authorization-bin", b"\0"),), (("x-aift-tenant", "acme"),)],
    ids=str,
)  # fmt: skip
async def test_no_good_token(server: GrpcServer, connect: Connect, metadata: Any) -> None:
    call = connect(server).GetDataset(data_pb2.GetDatasetRequest(name="x"), metadata=metadata)
    assert await code_of(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_token_without_its_prefix(server: GrpcServer, connect: Connect, make_token: Any) -> None:
    call = connect(server).GetDataset(data_pb2.GetDatasetRequest(), metadata=(("authorization", make_token()),))
    assert await code_of(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_why_a_token_is_refused_is_not_told(server: GrpcServer, connect: Connect, make_token: Any) -> None:
    texts = set()
    for token in (make_token(ttl_s=-10), "x.y.z", make_token() + "x"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await connect(server, token).GetDataset(data_pb2.GetDatasetRequest())
        texts.add(caught.value.details())
    assert len(texts) == 1


@pytest.mark.parametrize("role", ["viewer", "editor", "admin", "service"])
async def test_roles_that_may(server: GrpcServer, connect: Connect, make_token: Any, role: str) -> None:
    answered = await connect(server, make_token(role)).GetDataset(data_pb2.GetDatasetRequest(name="datasets/x"))
    assert answered.name == "datasets/x"


async def test_a_role_that_may_not(server: GrpcServer, connect: Connect, make_token: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await connect(server, make_token("worker")).GetDataset(data_pb2.GetDatasetRequest(name="x"))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(caught.value) == "PERMISSION_DENIED"
    assert "worker" in (caught.value.details() or "")


async def test_streams_are_guarded_too(server: GrpcServer, connect: Connect, make_token: Any) -> None:
    stub = connect(server, make_token("worker"))

    async def drain(call: Any) -> None:
        async for _ in call:
            pass

    assert await code_of(drain(stub.ReadDataset(data_pb2.ReadDatasetRequest()))) is grpc.StatusCode.PERMISSION_DENIED
    uploading = stub.WriteUpload(iter([data_pb2.WriteUploadRequest()]))
    assert await code_of(uploading) is grpc.StatusCode.PERMISSION_DENIED
    with_none = connect(server).ReadDataset(data_pb2.ReadDatasetRequest())
    assert await code_of(drain(with_none)) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_service_acts_for_whom_it_names(
    server: GrpcServer, connect: Connect, make_token: Any, answers: Answers
) -> None:
    seen: list[RequestContext] = []

    async def remember(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        seen.append(current())
        return data_pb2.Dataset()

    answers.get = remember
    stub = connect(server, make_token("service", tenant="system", subject="training"))
    with acting("会社", "山田") as outer:
        await stub.GetDataset(data_pb2.GetDatasetRequest())
    await stub.GetDataset(data_pb2.GetDatasetRequest())
    assert (seen[0].tenant, seen[0].principal, seen[0].role) == ("会社", "山田", "service")
    assert seen[0].request_id == outer.request_id
    assert (seen[1].tenant, seen[1].principal) == ("system", "training")


@pytest.mark.parametrize("role", ["viewer", "editor", "admin"])
@pytest.mark.parametrize("key", ["x-aift-tenant", "x-aift-principal"])
async def test_nobody_else_acts_for_others(
    server: GrpcServer, connect: Connect, make_token: Any, role: str, key: str
) -> None:
    call = connect(server, make_token(role)).GetDataset(data_pb2.GetDatasetRequest(), metadata=((key, "other"),))
    assert await code_of(call) is grpc.StatusCode.PERMISSION_DENIED


async def test_an_rpc_that_names_no_role_is_refused_to_everyone(
    start: Start, connect: Connect, make_token: Any
) -> None:
    called = []

    async def bare(request: empty_pb2.Empty, context: Any) -> empty_pb2.Empty:
        called.append(request)
        return empty_pb2.Empty()

    def register(servicer: object, server: Any) -> None:
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                bare,
                request_deserializer=empty_pb2.Empty.FromString,
                response_serializer=empty_pb2.Empty.SerializeToString,
            )
            for name in ("Bare", "Undeclared", "Unspecified")
        }
        server.add_registered_method_handlers("aift.test.v1.BareService", handlers)

    declare_bare_service()
    server = await start(extra=[(register, object())])
    for role in ("viewer", "editor", "admin", "worker", "service"):
        async with channel(f"127.0.0.1:{server.port}", token=lambda role=role: make_token(role)) as opened:  # type: ignore[misc]
            for name in ("Bare", "Undeclared", "Unspecified"):
                call = opened.unary_unary(
                    f"/aift.test.v1.BareService/{name}",
                    request_serializer=empty_pb2.Empty.SerializeToString,
                    response_deserializer=empty_pb2.Empty.FromString,
                )
                assert await code_of(call(empty_pb2.Empty())) is grpc.StatusCode.PERMISSION_DENIED
    assert not called


def declare_bare_service() -> None:
    """A contract of which one RPC has no option and one names the role that is none."""
    file = descriptor_pb2.FileDescriptorProto(
        name="aift/test/v1/bare.proto",
        package="aift.test.v1",
        syntax="proto3",
        dependency=["google/protobuf/empty.proto", "aift/common/v1/auth.proto"],
    )
    service = file.service.add(name="BareService")
    for name in ("Bare", "Unspecified"):
        method = service.method.add(
            name=name, input_type=".google.protobuf.Empty", output_type=".google.protobuf.Empty"
        )
        if name == "Unspecified":
            method.options.Extensions[auth_pb2.allowed_roles].append(auth_pb2.ROLE_UNSPECIFIED)
    descriptor_pool.Default().Add(file)


def test_every_rpc_of_the_contracts_names_its_roles() -> None:
    pool = descriptor_pool.Default()
    methods = [
        f"/{service.full_name}/{method.name}"
        for module in (data_pb2, training_pb2, worker_pb2, registry_pb2, inference_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert len(methods) > 20
    assert [method for method in methods if not declared_roles(method, pool)] == []


async def test_unknown_methods(server: GrpcServer, make_token: Any) -> None:
    async with channel(f"127.0.0.1:{server.port}", token=make_token) as opened:
        call = opened.unary_unary("/aift.data.v1.DataService/DropEverything")
        assert await code_of(call(b"")) is grpc.StatusCode.UNIMPLEMENTED


async def test_health_needs_no_token(server: GrpcServer) -> None:
    async with channel(f"127.0.0.1:{server.port}") as opened:
        answered = await health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest())
    assert answered.status == health_pb2.HealthCheckResponse.SERVING


async def list_services(server: GrpcServer, token: str | None) -> list[str]:
    async with channel(f"127.0.0.1:{server.port}", token=None if token is None else lambda: token) as opened:
        stub = reflection_pb2_grpc.ServerReflectionStub(opened)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for answered in stub.ServerReflectionInfo(iter([request])):
            return [service.name for service in answered.list_services_response.service]
    return []


async def test_reflection_on_loopback_is_open(server: GrpcServer) -> None:
    assert "aift.data.v1.DataService" in await list_services(server, None)


async def test_reflection_elsewhere_is_for_those_who_may_look(start: Start, make_token: Any) -> None:
    server = await start(reflection=False)
    assert await code_of(list_services(server, None)) is grpc.StatusCode.UNAUTHENTICATED
    assert await code_of(list_services(server, make_token("worker"))) is grpc.StatusCode.PERMISSION_DENIED
    assert "aift.data.v1.DataService" in await list_services(server, make_token("viewer"))


async def test_raw_exceptions_stay_inside(
    server: GrpcServer, connect: Connect, make_token: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: data_pb2.GetDatasetRequest) -> data_pb2.Dataset:
        raise RuntimeError("password=hunter2 in /etc/secret.py")

    answers.get = fail
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await connect(server, make_token()).GetDataset(data_pb2.GetDatasetRequest())
    status = status_of(caught.value)
    assert status is not None
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert b"hunter2" not in status.SerializeToString() + (caught.value.details() or "").encode()
    assert "Traceback" in caplog.text or "hunter2" in caplog.text
    assert re.search(r"[0-9a-f]{32}", caught.value.details() or "")


async def test_fields_of_a_newer_client_are_refused(
    server: GrpcServer, connect: Connect, make_token: Any, answers: Answers
) -> None:
    async def create(request: data_pb2.CreateDatasetRequest) -> data_pb2.Dataset:
        return data_pb2.Dataset(name="datasets/made")

    answers.create = create
    stub = connect(server, make_token())
    assert (await stub.CreateDataset(data_pb2.CreateDatasetRequest(dataset_id="x"))).name == "datasets/made"
    # Field 5000, a string: nothing that this server knows.
    newer = data_pb2.CreateDatasetRequest.FromString(b"\xc2\xb8\x02\x01x")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CreateDataset(newer)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "#5000" in (caught.value.details() or "")
    reading = data_pb2.GetDatasetRequest.FromString(b"\xc2\xb8\x02\x01x")
    assert await stub.GetDataset(reading) is not None


async def test_nul_in_text_is_refused(server: GrpcServer, connect: Connect, make_token: Any, answers: Answers) -> None:
    request = data_pb2.CreateDatasetRequest(dataset_id="a\0b")
    assert await code_of(connect(server, make_token()).CreateDataset(request)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_messages_are_bounded(server: GrpcServer, make_token: Any) -> None:
    metadata = (("authorization", f"Bearer {make_token()}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        stub = data_pb2_grpc.DataServiceStub(opened)
        request = data_pb2.GetDatasetRequest(name="x" * (5 << 20))
        assert await code_of(stub.GetDataset(request, metadata=metadata)) is grpc.StatusCode.RESOURCE_EXHAUSTED
