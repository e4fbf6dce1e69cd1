"""DataService over gRPC: takes requests apart, asks the domain, answers in messages."""

from __future__ import annotations

from aift.data.v1 import data_pb2_grpc

from services.data_service.calls.comparison import ComparisonCalls
from services.data_service.calls.datasets import DatasetCalls
from services.data_service.calls.imports import ImportCalls
from services.data_service.calls.jobs import JobCalls
from services.data_service.calls.preparation import PreparationCalls
from services.data_service.calls.rows import RowCalls
from services.data_service.calls.supervision import SupervisionCalls
from services.data_service.calls.uploads import UploadCalls
from services.data_service.calls.versions import VersionCalls


class DataServicer(
    UploadCalls,
    DatasetCalls,
    JobCalls,
    PreparationCalls,
    VersionCalls,
    RowCalls,
    ComparisonCalls,
    SupervisionCalls,
    ImportCalls,
    data_pb2_grpc.DataServiceServicer,
):
    """The RPCs of data.proto."""
