"""Data sets and their versions as things that have names: made, listed, changed, deleted."""

from __future__ import annotations

from collections.abc import Iterator

from aift.data.v1 import data_pb2
from aift.data_jobs import DataJobs
from aift.names import qualified, request_id
from aift.pages import every


class DatasetCatalogue(DataJobs):
    """The part of `client.datasets` that knows what there is."""

    def create(self, dataset_id: str = "", *, display_name: str = "", description: str = "") -> data_pb2.Dataset:
        """Makes an empty data set; without an id one is chosen."""
        request = data_pb2.CreateDatasetRequest(
            dataset_id=dataset_id,
            dataset=data_pb2.Dataset(display_name=display_name, description=description),
            request_id=request_id(),
        )
        return self._connection.call("data", self._stub.CreateDataset, request)

    def get(self, dataset: str) -> data_pb2.Dataset:
        """One data set."""
        request = data_pb2.GetDatasetRequest(name=qualified("datasets", dataset))
        return self._connection.call("data", self._stub.GetDataset, request)

    def list(self) -> Iterator[data_pb2.Dataset]:
        """Data sets, newest first."""
        return every(
            lambda token: self._connection.call(
                "data", self._stub.ListDatasets, data_pb2.ListDatasetsRequest(page_token=token)
            ),
            lambda page: page.datasets,
        )

    def update(
        self, dataset: str, *, display_name: str | None = None, description: str | None = None
    ) -> data_pb2.Dataset:
        """Changes what is given."""
        changed = data_pb2.Dataset(name=qualified("datasets", dataset))
        request = data_pb2.UpdateDatasetRequest(dataset=changed, request_id=request_id())
        for field, value in (("display_name", display_name), ("description", description)):
            if value is not None:
                setattr(request.dataset, field, value)
                request.update_mask.paths.append(field)
        return self._connection.call("data", self._stub.UpdateDataset, request)

    def versions(self, dataset: str) -> Iterator[data_pb2.DatasetVersion]:
        """Versions of a data set, newest first."""
        parent = qualified("datasets", dataset)
        return every(
            lambda token: self._connection.call(
                "data",
                self._stub.ListDatasetVersions,
                data_pb2.ListDatasetVersionsRequest(parent=parent, page_token=token),
            ),
            lambda page: page.dataset_versions,
        )

    def references(self, name: str) -> Iterator[data_pb2.DatasetReference]:
        """What depends on a version, or on the versions of a data set, newest first."""
        whole = qualified("datasets", name)
        return every(
            lambda token: self._connection.call(
                "data",
                self._stub.ListDatasetReferences,
                data_pb2.ListDatasetReferencesRequest(name=whole, page_token=token),
            ),
            lambda page: page.references,
        )

    def delete(self, name: str, *, force: bool = False) -> None:
        """Deletes a data set with its versions, or one version.

        What others depend on stays (AiftError DATASET_REFERENCED names them) unless `force`.
        """
        whole = qualified("datasets", name)
        if "/versions/" in whole:
            version = data_pb2.DeleteDatasetVersionRequest(name=whole, force=force)
            self._connection.call("data", self._stub.DeleteDatasetVersion, version)
        else:
            dataset = data_pb2.DeleteDatasetRequest(name=whole, force=force)
            self._connection.call("data", self._stub.DeleteDataset, dataset)


def new_dataset(display_name: str | None) -> data_pb2.NewDataset | None:
    """What makes a missing data set with its first version; None where it has to be there."""
    return None if display_name is None else data_pb2.NewDataset(display_name=display_name)
