"""Base models: taken in from a folder or from the Hugging Face Hub."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from aift.connection import Connection
from aift.errors import of_failure
from aift.model_files import send_directory
from aift.names import qualified, request_id, slug
from aift.pages import every
from aift.progress import OnProgress, Progress, silent
from aift.registry.v1 import registry_pb2
from aift.uploads import Uploads

_FIRST_POLL_S = 0.1
_LONGEST_POLL_S = 2.0


class BaseModels:
    """`client.base_models`. "tiny-ja" is short for "baseModels/tiny-ja"; a Hub id stands for its model too."""

    def __init__(self, connection: Connection, uploads: Uploads) -> None:
        self._connection = connection
        self._stub = connection.registry
        self._uploads = uploads

    def import_dir(
        self,
        path: str | Path,
        *,
        base_model_id: str | None = None,
        display_name: str = "",
        on_progress: OnProgress = silent,
    ) -> registry_pb2.BaseModel:
        """Sends a folder with config.json, tokenizer and *.safetensors, and waits until the model can be used.

        The folder's name gives the id where none is given. Raises AiftError.
        """
        directory = Path(path).expanduser()
        files = send_directory(self._uploads, directory, on_progress=on_progress)
        request = registry_pb2.ImportBaseModelRequest(
            base_model_id=base_model_id or slug(directory.resolve().name),
            display_name=display_name,
            uploads=registry_pb2.UploadedFiles(files=files),
            request_id=request_id(),
        )
        return self.wait(self._start(request).name, on_progress=on_progress)

    def import_hub(
        self,
        hub_id: str,
        *,
        revision: str = "",
        base_model_id: str = "",
        display_name: str = "",
        on_progress: OnProgress = silent,
    ) -> registry_pb2.BaseModel:
        """Has the registry fetch a model of the Hub, such as "SakanaAI/TinySwallow-1.5B-Instruct", and waits for it.

        The commit that `revision` (main) points to is pinned; a token, where one is needed, is the server's.
        """
        started = self.start_hub(hub_id, revision=revision, base_model_id=base_model_id, display_name=display_name)
        return self.wait(started.name, on_progress=on_progress)

    def start_hub(
        self, hub_id: str, *, revision: str = "", base_model_id: str = "", display_name: str = ""
    ) -> registry_pb2.BaseModel:
        """`import_hub` without waiting: the base model as it is being imported."""
        request = registry_pb2.ImportBaseModelRequest(
            base_model_id=base_model_id,
            display_name=display_name,
            hub=registry_pb2.HubSource(hub_id=hub_id, revision=revision),
            request_id=request_id(),
        )
        return self._start(request)

    def wait(self, base_model: str, *, on_progress: OnProgress = silent) -> registry_pb2.BaseModel:
        """Waits until an import has ended. Raises AiftError with its reason when it failed."""
        pause = _FIRST_POLL_S
        while (now := self.get(base_model)).state == registry_pb2.BASE_MODEL_STATE_IMPORTING:
            on_progress(Progress(stage="importing", what=now.name, done=now.done_bytes, total=now.total_bytes))
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_S)
        if now.state == registry_pb2.BASE_MODEL_STATE_FAILED:
            raise of_failure(now.failure)
        on_progress(Progress(stage="importing", what=now.name, done=now.total_bytes, total=now.total_bytes))
        return now

    def get(self, base_model: str) -> registry_pb2.BaseModel:
        """One base model, by its id, Hub id or short name."""
        request = registry_pb2.GetBaseModelRequest(name=qualified("baseModels", base_model))
        return self._connection.call("registry", self._stub.GetBaseModel, request)

    def list(self) -> Iterator[registry_pb2.BaseModel]:
        """Base models, newest first."""
        return every(
            lambda token: self._connection.call(
                "registry", self._stub.ListBaseModels, registry_pb2.ListBaseModelsRequest(page_token=token)
            ),
            lambda page: page.base_models,
        )

    def delete(self, base_model: str) -> None:
        """Deletes a base model on which no version stands. Needs the role admin."""
        request = registry_pb2.DeleteBaseModelRequest(name=qualified("baseModels", base_model))
        self._connection.call("registry", self._stub.DeleteBaseModel, request)

    def _start(self, request: registry_pb2.ImportBaseModelRequest) -> registry_pb2.BaseModel:
        return self._connection.call("registry", self._stub.ImportBaseModel, request, timeout_s=120.0)
