"""Answers of the data service about versions that are prepared, compared and tokenised, made up beforehand."""

from typing import Any

import grpc
from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2, data_pb2_grpc


class FakeDataViews(data_pb2_grpc.DataServiceServicer):
    """Keeps what it was asked in `asked`, by the method's name."""

    asked: dict[str, Any]

    def _note(self, request: Any) -> None:
        self.asked[type(request).__name__.removesuffix("Request")] = request

    def ImportDataset(self, request: Any, context: grpc.ServicerContext) -> data_pb2.DataJob:
        self._note(request)
        return data_pb2.DataJob(name="dataJobs/j1", dataset=request.dataset)

    def ListDroppedFiles(self, request: Any, context: grpc.ServicerContext) -> data_pb2.ListDroppedFilesResponse:
        file = data_pb2.DroppedFile(name="届いた.jsonl", size_bytes=2_000_000, files=1, settled=True)
        return data_pb2.ListDroppedFilesResponse(files=[file])

    def PrepareDataset(self, request: Any, context: grpc.ServicerContext) -> data_pb2.DataJob:
        self._note(request)
        return data_pb2.DataJob(name="dataJobs/j1", dataset="datasets/rows")

    def PreviewPreparation(self, request: Any, context: grpc.ServicerContext) -> data_pb2.PreviewPreparationResponse:
        self._note(request)
        changed = data_pb2.RowChange(
            before=data_pb2.Row(prompt="ｶﾅ?", completion="a"), after=data_pb2.Row(prompt="カナ?", completion="a")
        )
        dropped = data_pb2.RowChange(before=data_pb2.Row(index=3, completion="短"))
        slow = data_pb2.Finding(reason="SLOW_PATTERN", message=blob_pb2.LocalizedText(en="(a+)+ is slow", ja="遅い"))
        return data_pb2.PreviewPreparationResponse(
            changes=[changed, dropped], rows=10, unchanged_rows=8, dropped_rows=1, findings=[slow]
        )

    def PreviewSupervision(self, request: Any, context: grpc.ServicerContext) -> data_pb2.PreviewSupervisionResponse:
        self._note(request)
        shown = [("質問", False), ("\n", False), ("答え", True), ("</s>", True)]
        tokens = [data_pb2.SupervisedToken(id=i, text=text, trained=on) for i, (text, on) in enumerate(shown)]
        row = data_pb2.SupervisedRow(tokens=tokens, stop_trained=True)
        return data_pb2.PreviewSupervisionResponse(rows=[row], total_rows=3, tokens=4, trained_tokens=2)

    def CountDatasetTokens(self, request: Any, context: grpc.ServicerContext) -> data_pb2.DataJob:
        self._note(request)
        return data_pb2.DataJob(name="dataJobs/j1", dataset="datasets/rows")

    def GetTokenStatistics(self, request: Any, context: grpc.ServicerContext) -> data_pb2.TokenStatistics:
        if "CountDatasetTokens" not in self.asked:
            context.abort(grpc.StatusCode.NOT_FOUND, "not counted")
        return data_pb2.TokenStatistics(
            name=request.name, rows=3, tokens=40, trained_tokens=10, histogram_counts=[1, 2], histogram_bounds=[16]
        )

    def DiffDatasetVersions(self, request: Any, context: grpc.ServicerContext) -> data_pb2.DiffDatasetVersionsResponse:
        self._note(request)
        row = data_pb2.Row(index=1, prompt="問", completion="新しい答え")
        return data_pb2.DiffDatasetVersionsResponse(added_rows=1, unchanged_rows=2, added=[row])

    def ListDatasetReferences(
        self, request: Any, context: grpc.ServicerContext
    ) -> data_pb2.ListDatasetReferencesResponse:
        found = data_pb2.DatasetReference(dataset_version="datasets/rows/versions/1", referrer="trainingJobs/t1")
        return data_pb2.ListDatasetReferencesResponse(references=[found])

    def ListDataJobs(self, request: Any, context: grpc.ServicerContext) -> data_pb2.ListDataJobsResponse:
        job = data_pb2.DataJob(name="dataJobs/j1", kind=data_pb2.DATA_JOB_KIND_PREPARATION)
        return data_pb2.ListDataJobsResponse(data_jobs=[job])
