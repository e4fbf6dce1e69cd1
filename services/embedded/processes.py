"""The table of processes of one machine: which there are, what each is told, when each counts as ready."""

import asyncio
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.embedded import postgres as server
from services.embedded.environment import COMPUTE, NETWORK, environment
from services.embedded.layout import StateDir
from services.embedded.postgres import Postgres
from services.embedded.probe import HttpReady
from services.embedded.spec import ProcessSpec

STORAGE_STAGE, SERVICE_STAGE, WORKER_STAGE, PAGE_STAGE = range(4)


@dataclass(frozen=True, kw_only=True)
class Service:
    """One of the four services."""

    name: str
    package: str
    schema: str  # also its database role
    forwards: tuple[str, ...] = ()  # patterns of variables that only this service gets from our environment


_STORE_SECRETS = ("AIFT_S3_SECRET_KEY", "AIFT_S3_ACCESS_KEY")
SERVICES = (
    Service(name="data", package="services.data_service", schema="data", forwards=("AIFT_HUB_TOKEN", "HF_*", *NETWORK)),
    Service(name="training", package="services.training_service", schema="training"),
    Service(
        name="registry",
        package="services.registry_service",
        schema="registry",
        forwards=("AIFT_HUB_TOKEN", "HF_*", *NETWORK),
    ),
    Service(name="inference", package="services.inference_service", schema="inference", forwards=COMPUTE),
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the table is made from."""

    state: StateDir
    host: str
    ports: Mapping[str, int]  # every service's gRPC port, "page", and "<process>-http" for each service and the worker
    database_urls: Mapping[str, str]  # by service
    attempt_key: Path  # with which the training service signs the tokens of attempts
    postgres: Postgres | None

    def address(self, name: str) -> str:
        """host:port of a service or the page, as seen from this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound
        return f"{host}:{self.ports[name]}"

    def addresses(self) -> dict[str, str]:
        """Of the four services and the page, where there is one."""
        names = [*(service.name for service in SERVICES), "page"]
        return {name: self.address(name) for name in names if name in self.ports}


def wanted_ports(configured: Mapping[str, int]) -> dict[str, int]:
    """All ports to choose or check: the configured ones, and any free one for each health port."""
    health = [f"{name}-http" for name in (*(service.name for service in SERVICES), "worker")]
    return {**configured, **dict.fromkeys(health, 0)}


def table(machine: Machine) -> tuple[ProcessSpec, ...]:
    """Every process of this machine."""
    return tuple(_all(machine))


def _all(machine: Machine) -> Iterable[ProcessSpec]:
    if machine.postgres is not None:
        yield _postgres(machine.postgres)
    for service in SERVICES:
        yield _service(machine, service)
    yield _worker(machine)
    if "page" in machine.ports:
        yield _page(machine)


def _postgres(postgres: Postgres) -> ProcessSpec:
    async def answers() -> bool:
        return await asyncio.to_thread(postgres.answers)

    return ProcessSpec(
        name="postgres",
        argv=postgres.prepare,
        env=server.environment(),
        cwd="/",
        ready=answers,
        stage=STORAGE_STAGE,
        stop_s=20.0,
        orphan_s=10.0,  # when its guard alone was killed, the server ends by itself, cleanly
    )


def _service(machine: Machine, service: Service) -> ProcessSpec:
    http = machine.ports[f"{service.name}-http"]
    own = {
        **_addresses(machine),
        **_identity(machine, service.name),
        "AIFT_LISTEN": f"{machine.host}:{machine.ports[service.name]}",
        "AIFT_HTTP_LISTEN": f"127.0.0.1:{http}",
        "AIFT_DATABASE_URL": machine.database_urls[service.name],
        "AIFT_AUTH_DIR": str(machine.state.auth),
        "AIFT_OBJECT_DIR": str(machine.state.objects),
    }
    if service.name == "training":
        own["AIFT_ATTEMPT_KEY_FILE"] = str(machine.attempt_key)
    return ProcessSpec(
        name=service.name,
        argv=(sys.executable, "-m", service.package, "serve"),
        env=environment((*_STORE_SECRETS, *service.forwards), own),
        cwd=str(machine.state.root),
        ready=HttpReady(f"http://127.0.0.1:{http}/readyz"),
        ports={"grpc": machine.ports[service.name], "http": http},
        stage=SERVICE_STAGE,
        stop_s=30.0,
    )


def _worker(machine: Machine) -> ProcessSpec:
    http = machine.ports["worker-http"]
    own = {
        "AIFT_TRAINING_ADDRESS": machine.address("training"),
        **_identity(machine, "worker"),
        "AIFT_HTTP_LISTEN": f"127.0.0.1:{http}",
    }
    return ProcessSpec(
        name="worker",
        argv=(sys.executable, "-m", "services.training_service", "worker"),
        env=environment(("HF_HOME", "WANDB_*", *COMPUTE, *NETWORK), own),
        cwd=str(machine.state.root),
        ready=HttpReady(f"http://127.0.0.1:{http}/readyz"),
        ports={"http": http},
        stage=WORKER_STAGE,
        stop_s=75.0,  # a running job writes a checkpoint first
    )


def _page(machine: Machine) -> ProcessSpec:
    own = {
        **_addresses(machine),
        "AIFT_STATE_DIR": str(machine.state.root),
        "AIFT_TOKEN_FILE": str(machine.state.token),
        "AIFT_PAGE_HOST": machine.host,
        "AIFT_PAGE_PORT": str(machine.ports["page"]),
    }
    return ProcessSpec(
        name="page",
        # The page knows nothing of us, so a guard ends it when we are gone.
        argv=(sys.executable, "-m", "services.core.lifeline", "--grace", "5", "--", sys.executable, "-m", "frontend"),
        env=environment(("STREAMLIT_*",), own),
        cwd=str(machine.state.root),
        ready=HttpReady(f"http://{machine.address('page')}/_stcore/health"),
        ports={"http": machine.ports["page"]},
        stage=PAGE_STAGE,
        stop_s=10.0,
    )


def _addresses(machine: Machine) -> dict[str, str]:
    return {f"AIFT_{service.name.upper()}_ADDRESS": machine.address(service.name) for service in SERVICES}


def _identity(machine: Machine, name: str) -> dict[str, str]:
    return {
        "AIFT_STATE_DIR": str(machine.state.root),  # one for all: caches and device locks are shared
        "AIFT_SERVICE_TOKEN_FILE": str(machine.state.identities / f"{name}.token"),
    }
