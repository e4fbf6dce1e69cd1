"""Data sets from elsewhere: the server's drop directory, URLs, object stores, the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Unpack

from aift.data.v1 import data_pb2
from aift.dataset_catalogue import DatasetCatalogue, new_dataset
from aift.names import qualified, request_id, slug, stem
from aift.pages import every
from aift.progress import OnProgress, silent
from aift.reading import Reading, form_of, read_options, train_on_of


class DatasetImports(DatasetCatalogue):
    """The part of `client.datasets` that lets the service fetch files itself."""

    def dropped_files(self) -> Iterator[data_pb2.DroppedFile]:
        """Files and folders in the server's drop directory, by name."""
        return every(
            lambda token: self._connection.call(
                "data", self._stub.ListDroppedFiles, data_pb2.ListDroppedFilesRequest(page_token=token)
            ),
            lambda page: page.files,
        )

    def import_dropped(
        self, name: str, *, dataset: str | None = None, on_progress: OnProgress = silent, **reading: Unpack[Reading]
    ) -> data_pb2.DatasetVersion:
        """Takes a file or folder of the drop directory as the next version of a data set.

        A missing data set is made with its first version; without `dataset` the file's name gives the id.
        Raises InvalidDataError with the report, else AiftError.
        """
        owner, new = _receiver(dataset, name)
        return self._imported(self.start_import(owner, new=new, dropped_file=name, **reading), on_progress)

    def import_url(
        self, url: str, *, dataset: str | None = None, on_progress: OnProgress = silent, **reading: Unpack[Reading]
    ) -> data_pb2.DatasetVersion:
        """Fetches an https:// address whose host an administrator allowed. Errors as of import_dropped."""
        owner, new = _receiver(dataset, url)
        return self._imported(self.start_import(owner, new=new, url=url, **reading), on_progress)

    def import_s3(
        self, uri: str, *, dataset: str | None = None, on_progress: OnProgress = silent, **reading: Unpack[Reading]
    ) -> data_pb2.DatasetVersion:
        """Fetches "s3://bucket/key" of the configured store. Errors as of import_dropped."""
        owner, new = _receiver(dataset, uri)
        return self._imported(self.start_import(owner, new=new, s3_uri=uri, **reading), on_progress)

    def import_hub(
        self,
        hub_id: str,
        *,
        dataset: str | None = None,
        revision: str = "",
        path: str = "",
        on_progress: OnProgress = silent,
        **reading: Unpack[Reading],
    ) -> data_pb2.DatasetVersion:
        """Fetches a data set of the Hugging Face Hub; path names the file where it has several.

        Errors as of import_dropped.
        """
        hub = data_pb2.HubDataset(id=hub_id, revision=revision, path=path)
        owner, new = _receiver(dataset, hub_id)
        return self._imported(self.start_import(owner, new=new, hub=hub, **reading), on_progress)

    def start_import(
        self,
        dataset: str,
        *,
        new: str | None = None,
        dropped_file: str | None = None,
        url: str | None = None,
        s3_uri: str | None = None,
        hub: data_pb2.HubDataset | None = None,
        **reading: Unpack[Reading],
    ) -> data_pb2.DataJob:
        """Starts an import from the one source that is given; see `wait`, and `validate` about `new`."""
        request = data_pb2.ImportDatasetRequest(
            dataset=qualified("datasets", dataset) if dataset else "",
            new_dataset=new_dataset(new),
            hub=hub,
            form=form_of(reading),
            train_on=train_on_of(reading),
            read=read_options(reading),
            request_id=request_id(),
        )
        for field, value in (("dropped_file", dropped_file), ("url", url), ("s3_uri", s3_uri)):
            if value is not None:
                setattr(request, field, value)
        return self._connection.call("data", self._stub.ImportDataset, request)

    def _imported(self, job: data_pb2.DataJob, on_progress: OnProgress) -> data_pb2.DatasetVersion:
        return self.version(self.wait(job.name, on_progress=on_progress).dataset_version)


def _receiver(dataset: str | None, source: str) -> tuple[str, str]:
    """Id and display name of the data set that gets the version."""
    name = stem(source.partition("?")[0])
    return dataset or slug(name), name
