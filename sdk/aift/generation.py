"""Text from base models and trained models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict, Unpack

from aift.checks import texts, within
from aift.connection import Connection, Patience
from aift.errors import AiftError
from aift.inference.v1 import inference_pb2
from aift.names import model_name

# Long enough for a first answer, which waits for the model to be read into memory.
DEFAULT_TIMEOUT_S = 300.0
# Whole numbers that go into the contract's fields; how the rest of them may be is the service's to check.
_RANGES = {"top_k": (0, 2**31 - 1), "max_new_tokens": (1, 65_536), "seed": (0, 2**63 - 1)}


class SamplingOptions(TypedDict, total=False):
    """How tokens are chosen; what is left out or None takes the service's default (in brackets)."""

    temperature: float | None
    """0 to 2; 0 always takes the likeliest token (0.7)."""
    top_p: float | None
    """Above 0, up to 1 (0.9)."""
    top_k: int | None
    """0 means all tokens (0)."""
    max_new_tokens: int | None
    """1 to 65536 (100)."""
    max_length: int | None
    """The manual's name of max_new_tokens."""
    repetition_penalty: float | None
    """0.5 to 2 (1.1)."""
    stop: Sequence[str]
    """Generation ends before any of these; at most 16."""
    seed: int | None
    """The same seed gives the same text on the same hardware (random)."""


class Generation:
    """`client.inference`; its two main calls are also `client.generate` and `client.generate_stream`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = connection.inference

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
        """The model's answer, whole.

        model is "models/m", "models/m/versions/n", "models/m@alias", "baseModels/b", or "m" short for "models/m".
        raw leaves the prompt without the model's template. Tried again while the service says that its queue is
        full or the model is being loaded, for timeout_s at most. Raises AiftError.
        """
        request = _request(model, prompt, raw, system, sampling)
        return self._connection.call(
            "inference", self._stub.Generate, request, timeout_s=timeout_s, busy_patience_s=timeout_s
        )

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
        """The answer piece by piece; the last message carries finish_reason. Arguments as of generate.

        A stream that breaks after its first message raises: repeating it might tell another story. Closing the
        iterator ends the generation.
        """
        request = _request(model, prompt, raw, system, sampling)
        patience = Patience(self._connection.patience_s, busy_s=timeout_s)
        begun = False
        while True:
            try:
                for message in self._connection.stream(
                    "inference", self._stub.GenerateStream, request, timeout_s=timeout_s
                ):
                    begun = True
                    yield message
            except AiftError as error:
                if begun:
                    raise
                patience.wait(error)
            else:
                return

    def load(self, model: str) -> inference_pb2.LoadedModel:
        """Asks that a model be in memory, and returns at once."""
        request = inference_pb2.LoadModelRequest(model=model_name(model))
        return self._connection.call("inference", self._stub.LoadModel, request)

    def unload(self, model: str) -> None:
        """Frees a model's memory once its running requests have ended."""
        request = inference_pb2.UnloadModelRequest(model=model_name(model))
        self._connection.call("inference", self._stub.UnloadModel, request)

    def loaded(self) -> Sequence[inference_pb2.LoadedModel]:
        """Models that are in memory, on their way there, or failed to get there."""
        request = inference_pb2.ListLoadedModelsRequest()
        return self._connection.call("inference", self._stub.ListLoadedModels, request).loaded_models


def _request(
    model: str, prompt: str, raw: bool, system: str, options: SamplingOptions
) -> inference_pb2.GenerateRequest:
    fields = dict(options)
    if "max_length" in fields:
        fields.setdefault("max_new_tokens", fields.pop("max_length"))
    for name, (low, high) in _RANGES.items():
        if fields.get(name) is not None:
            within(name, fields[name], low, high)  # type: ignore[arg-type]
    texts("stop", options.get("stop", ()))
    sampling = inference_pb2.Sampling(**fields)  # type: ignore[arg-type]
    return inference_pb2.GenerateRequest(
        model=model_name(model), prompt=prompt, raw=raw, system=system, sampling=sampling
    )
