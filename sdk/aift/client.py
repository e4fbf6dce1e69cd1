"""The way into AIFT from Python: one object, one group of calls a noun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Unpack

from aift.base_models import BaseModels
from aift.connection import Connection
from aift.datasets import Datasets
from aift.discovery import Addresses, discover
from aift.generation import DEFAULT_TIMEOUT_S, Generation, SamplingOptions
from aift.health import is_serving
from aift.inference.v1 import inference_pb2
from aift.jobs import TrainingJobs
from aift.models import Models
from aift.training.v1 import training_pb2
from aift.uploads import Uploads


class Client:
    """A connection to AIFT; usable from several threads, and as a context manager.

    Where the services are and who calls is found in this order: the arguments (a state_dir names the embedded
    system whose client.json tells both), the environment (AIFT_DATA_ADDRESS, AIFT_TRAINING_ADDRESS,
    AIFT_REGISTRY_ADDRESS, AIFT_INFERENCE_ADDRESS, AIFT_TOKEN, AIFT_TOKEN_FILE), client.json of the default state
    directory, and the default ports of this machine. Nothing is connected before the first call.

    token: an access token. addresses: some or all of {"data", "training", "registry", "inference"} → "host:port".
    tenant: for callers with the role service only, whom they act for. patience_s: how long calls are tried again
    while a service is away. All calls raise AiftError.
    """

    def __init__(
        self,
        token: str | None = None,
        addresses: Mapping[str, str] | None = None,
        state_dir: str | Path | None = None,
        tenant: str | None = None,
        *,
        patience_s: float = 10.0,
    ) -> None:
        endpoint = discover(token=token, addresses=addresses, state_dir=state_dir)
        self.addresses = endpoint.addresses
        self.page = endpoint.page
        self.connection = Connection(endpoint, tenant=tenant, patience_s=patience_s)
        self.uploads = Uploads(self.connection)
        self.datasets = Datasets(self.connection, self.uploads)
        self.training = TrainingJobs(self.connection)
        self.models = Models(self.connection, self.uploads)
        self.base_models = BaseModels(self.connection, self.uploads)
        self.inference = Generation(self.connection)

    def generate(
        self,
        model: str,
        prompt: str,
        *,
        raw: bool = False,
        system: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        **sampling: Unpack[SamplingOptions],
    ) -> inference_pb2.GenerateResponse:
        """The model's answer, whole; see Generation.generate."""
        return self.inference.generate(model, prompt, raw=raw, system=system, timeout_s=timeout_s, **sampling)

    def generate_stream(
        self,
        model: str,
        prompt: str,
        *,
        raw: bool = False,
        system: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        **sampling: Unpack[SamplingOptions],
    ) -> Iterator[inference_pb2.GenerateStreamResponse]:
        """The model's answer piece by piece; see Generation.generate_stream."""
        return self.inference.generate_stream(model, prompt, raw=raw, system=system, timeout_s=timeout_s, **sampling)

    def system(self) -> training_pb2.SystemInfo:
        """What the workers' machines have and use, and how many jobs there are in which state."""
        return self.training.system()

    def health(self, *, timeout_s: float = 2.0) -> dict[str, bool]:
        """Which of the services answer and have what they need; needs no token and does not raise."""
        return {name: is_serving(self.connection.channel(name), timeout_s) for name in Addresses.names()}

    def close(self) -> None:
        """Ends all calls and closes the connections."""
        self.connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
