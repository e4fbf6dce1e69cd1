"""Tokenizers of base models, taken from the registry and kept on disk by the model's digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aift.registry.v1 import registry_pb2, registry_pb2_grpc

from services.core.errors import Unavailable
from services.core.file_cache import DigestMismatch, FetchFailed, FileCache, RemoteFile

_NAMES = frozenset(
    {
        "config.json",  # tells which class of tokenizers the model has
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
    }
)
_SUFFIXES = frozenset({".model", ".tiktoken"})


@dataclass(frozen=True, kw_only=True)
class TokenizerFolder:
    """A base model's tokenizer: the model's name without aliases, and the folder."""

    base_model: str
    path: Path


class TokenizerFiles:
    """Fetches what is missing; the weights stay where they are."""

    def __init__(self, registry: registry_pb2_grpc.RegistryServiceAsyncStub, cache: FileCache) -> None:
        self._registry = registry
        self._cache = cache

    async def of(self, base_model: str) -> TokenizerFolder:
        """The tokenizer of "baseModels/{b}", for the caller.

        Raises NOT_FOUND and BASE_MODEL_NOT_READY by way of the registry, and Unavailable.
        """
        found = await self._registry.GetModelFiles(registry_pb2.GetModelFilesRequest(name=base_model))
        files = [
            RemoteFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, url=file.url)
            for file in found.files
            if file.path in _NAMES or ("/" not in file.path and PurePosixPath(file.path).suffix in _SUFFIXES)
        ]
        try:
            path = await self._cache.fetch(found.digest, files)
        except (DigestMismatch, FetchFailed) as error:
            raise Unavailable("the registry's files", retry_after_s=5) from error
        return TokenizerFolder(base_model=found.name, path=path)
