"""Trained models: versions, aliases, lineage, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aift.connection import Connection
from aift.model_files import Files, send_directory
from aift.names import qualified, request_id, slug
from aift.pages import every
from aift.progress import OnProgress, silent
from aift.registry.v1 import registry_pb2
from aift.uploads import Uploads


class Models:
    """`client.models`. Names may be short: "demo" is "models/demo", "demo@production" is "models/demo@production"."""

    def __init__(self, connection: Connection, uploads: Uploads) -> None:
        self._connection = connection
        self._stub = connection.registry
        self._uploads = uploads
        self._files = Files(connection)

    def list(self) -> Iterator[registry_pb2.Model]:
        """Models, newest first."""
        return every(
            lambda token: self._connection.call(
                "registry", self._stub.ListModels, registry_pb2.ListModelsRequest(page_token=token)
            ),
            lambda page: page.models,
        )

    def get(self, model: str) -> registry_pb2.Model:
        """One model with its aliases."""
        request = registry_pb2.GetModelRequest(name=qualified("models", model))
        return self._connection.call("registry", self._stub.GetModel, request)

    def update(
        self, model: str, *, display_name: str | None = None, description: str | None = None
    ) -> registry_pb2.Model:
        """Changes what is given."""
        changed = registry_pb2.Model(name=qualified("models", model))
        request = registry_pb2.UpdateModelRequest(model=changed, request_id=request_id())
        for field, value in (("display_name", display_name), ("description", description)):
            if value is not None:
                setattr(request.model, field, value)
                request.update_mask.paths.append(field)
        return self._connection.call("registry", self._stub.UpdateModel, request)

    def version(self, name: str) -> registry_pb2.ModelVersion:
        """One version: "models/m/versions/n", by alias "models/m@a", or the newest, "models/m"."""
        request = registry_pb2.GetModelVersionRequest(name=qualified("models", name))
        return self._connection.call("registry", self._stub.GetModelVersion, request)

    def versions(self, model: str) -> Iterator[registry_pb2.ModelVersion]:
        """Versions of a model, newest first."""
        parent = qualified("models", model)
        return every(
            lambda token: self._connection.call(
                "registry",
                self._stub.ListModelVersions,
                registry_pb2.ListModelVersionsRequest(parent=parent, page_token=token),
            ),
            lambda page: page.model_versions,
        )

    def set_alias(self, model: str, alias: str, version: str | int) -> registry_pb2.ModelAlias:
        """Points an alias to a version, which is given as its number or its whole name."""
        owner = qualified("models", model)
        target = f"{owner}/versions/{version}" if str(version).isdecimal() else qualified("models", str(version))
        request = registry_pb2.SetModelAliasRequest(
            name=f"{owner}@{alias}", model_version=target, request_id=request_id()
        )
        return self._connection.call("registry", self._stub.SetModelAlias, request)

    def delete_alias(self, model: str, alias: str) -> None:
        """Removes an alias; its history stays."""
        request = registry_pb2.DeleteModelAliasRequest(name=f"{qualified('models', model)}@{alias}")
        self._connection.call("registry", self._stub.DeleteModelAlias, request)

    def alias_history(self, model: str, alias: str) -> Iterator[registry_pb2.ModelAliasChange]:
        """Where an alias pointed and who moved it, newest first."""
        name = f"{qualified('models', model)}@{alias}"
        return every(
            lambda token: self._connection.call(
                "registry",
                self._stub.ListModelAliasHistory,
                registry_pb2.ListModelAliasHistoryRequest(name=name, page_token=token),
            ),
            lambda page: page.changes,
        )

    def lineage(self, name: str) -> registry_pb2.Lineage:
        """What a resource was made from and what was made from it; a short name is a model version's."""
        whole = name if name.startswith(("models/", "baseModels/", "trainingJobs/", "datasets/")) else f"models/{name}"
        if whole.startswith("models/") and "/versions/" not in whole:
            whole = self.version(whole).name
        return self._connection.call("registry", self._stub.GetLineage, registry_pb2.GetLineageRequest(name=whole))

    def download(self, name: str, directory: str | Path, *, on_progress: OnProgress = silent) -> Path:
        """Writes the files of a version into a folder, each verified; peft and transformers load it as it is.

        Raises AiftError, OTHER_MODEL where the folder holds another model.
        """
        version = self.version(name)
        return self._files.download(version.name, version.files, Path(directory), on_progress=on_progress)

    def import_dir(
        self,
        path: str | Path,
        *,
        model: str | None = None,
        base_model: str | None = None,
        on_progress: OnProgress = silent,
    ) -> registry_pb2.ModelVersion:
        """Takes a folder in as a version, as PEFT (with base_model) or transformers write it; its name gives the id."""
        directory = Path(path).expanduser()
        files = send_directory(self._uploads, directory, on_progress=on_progress)
        request = registry_pb2.ImportModelRequest(
            model=qualified("models", model or slug(directory.resolve().name)),
            base_model=qualified("baseModels", base_model) if base_model else "",
            files=files,
            request_id=request_id(),
        )
        return self._connection.call("registry", self._stub.ImportModel, request, timeout_s=600.0)

    def delete(self, name: str) -> None:
        """Deletes a model with its versions and aliases, or one version."""
        whole = qualified("models", name)
        if "/versions/" in whole:
            version = registry_pb2.DeleteModelVersionRequest(name=whole)
            self._connection.call("registry", self._stub.DeleteModelVersion, version)
        else:
            self._connection.call("registry", self._stub.DeleteModel, registry_pb2.DeleteModelRequest(name=whole))
