"""New versions out of old ones, and what a base model would make of them."""

from __future__ import annotations

from typing import Unpack

from aift.checks import MOST_ROWS, within
from aift.data.v1 import data_pb2
from aift.dataset_catalogue import DatasetCatalogue, new_dataset
from aift.names import qualified, request_id
from aift.progress import OnProgress, silent
from aift.recipe import RecipeOptions, RecipeSource, recipe_of

# Rendering with a base model needs its tokenizer, which the service may have to fetch first.
_TOKENIZER_TIMEOUT_S = 120.0
# A preview answers within the service's limits for patterns, which may take a second a row.
_PREVIEW_TIMEOUT_S = 120.0


class DatasetPreparation(DatasetCatalogue):
    """The part of `client.datasets` that prepares rows and looks at their tokens."""

    def prepare(
        self,
        source: str,
        recipe: RecipeSource | None = None,
        *,
        dataset: str | None = None,
        on_progress: OnProgress = silent,
        **options: Unpack[RecipeOptions],
    ) -> data_pb2.DataJob:
        """Makes a new version out of "datasets/x[/versions/n]" by a recipe, and waits for it.

        recipe is a mapping by the proto's names, a YAML file or a message; options override it:
        `prepare("faq", redact="emails", dedupe="exact", split={"test": 0.1})`. dataset gets the version (and is
        made with it where it is missing); without it the source's own. The answer names dataset_version,
        validation_version, test_version and what each step did.
        Raises AiftError, PREPARED_NOTHING among them.
        """
        job = self.start_preparation(source, recipe, dataset=dataset, **options)
        return self.wait(job.name, on_progress=on_progress)

    def start_preparation(
        self,
        source: str,
        recipe: RecipeSource | None = None,
        *,
        dataset: str | None = None,
        **options: Unpack[RecipeOptions],
    ) -> data_pb2.DataJob:
        """Starts a preparation; see `prepare` and `wait`."""
        request = data_pb2.PrepareDatasetRequest(
            source=self._whole_version(source),
            dataset=qualified("datasets", dataset) if dataset else "",
            new_dataset=new_dataset("" if dataset else None),
            recipe=recipe_of(recipe, **options),
            request_id=request_id(),
        )
        return self._connection.call("data", self._stub.PrepareDataset, request)

    def preview_preparation(
        self,
        name: str,
        recipe: RecipeSource | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
        **options: Unpack[RecipeOptions],
    ) -> data_pb2.PreviewPreparationResponse:
        """What a recipe would do to at most 1,000 rows, before it is done."""
        request = data_pb2.PreviewPreparationRequest(
            name=qualified("datasets", name),
            recipe=recipe_of(recipe, **options),
            offset=within("offset", offset, 0, MOST_ROWS),
            limit=within("limit", limit, 0, 1000),
        )
        return self._connection.call("data", self._stub.PreviewPreparation, request, timeout_s=_PREVIEW_TIMEOUT_S)

    def preview_supervision(
        self, name: str, base_model: str, *, offset: int = 0, limit: int = 10, max_length: int = 0
    ) -> data_pb2.PreviewSupervisionResponse:
        """Which tokens of at most 50 rows would be trained with a base model; max_length in tokens, 0 means 512."""
        request = data_pb2.PreviewSupervisionRequest(
            name=qualified("datasets", name),
            base_model=qualified("baseModels", base_model),
            offset=within("offset", offset, 0, MOST_ROWS),
            limit=within("limit", limit, 0, 50),
            max_length=within("max_length", max_length, 0, 1_048_576),
        )
        return self._connection.call("data", self._stub.PreviewSupervision, request, timeout_s=_TOKENIZER_TIMEOUT_S)

    def count_tokens(self, name: str, base_model: str, *, on_progress: OnProgress = silent) -> data_pb2.TokenStatistics:
        """Counts the tokens of all rows with a base model's tokenizer, and waits for it."""
        job = self.start_token_count(name, base_model)
        version = self.wait(job.name, on_progress=on_progress).dataset_version
        return self.token_statistics(version, base_model)

    def start_token_count(self, name: str, base_model: str) -> data_pb2.DataJob:
        """Starts counting; see `wait` and `token_statistics`."""
        request = data_pb2.CountDatasetTokensRequest(
            name=self._whole_version(name), base_model=qualified("baseModels", base_model), request_id=request_id()
        )
        return self._connection.call("data", self._stub.CountDatasetTokens, request)

    def token_statistics(self, name: str, base_model: str) -> data_pb2.TokenStatistics:
        """What count_tokens found before. Raises AiftError with NOT_FOUND while nothing was counted."""
        request = data_pb2.GetTokenStatisticsRequest(
            name=self._whole_version(name), base_model=qualified("baseModels", base_model)
        )
        return self._connection.call("data", self._stub.GetTokenStatistics, request)

    def diff(self, base: str, name: str, *, limit: int = 20) -> data_pb2.DiffDatasetVersionsResponse:
        """Rows that `name` has and `base` has not, the other way round, and changed ones; at most 100 of each."""
        request = data_pb2.DiffDatasetVersionsRequest(
            base=self._whole_version(base), name=self._whole_version(name), limit=within("limit", limit, 0, 100)
        )
        return self._connection.call("data", self._stub.DiffDatasetVersions, request, timeout_s=_PREVIEW_TIMEOUT_S)

    def _whole_version(self, name: str) -> str:
        return qualified("datasets", name) if "/versions/" in name else self.version(name).name
