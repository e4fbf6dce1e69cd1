"""Files that come from elsewhere."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import replace

from aift.data.v1 import data_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.core.errors import InvalidArgument
from services.core.pages import DEFAULT_SIZE, MAX_SIZE
from services.data_service import job_request
from services.data_service.calls.parts import Calls, Context
from services.data_service.data_job import JobKind
from services.data_service.sources import drop_directory
from services.data_service.sources.drop_directory import DroppedFile
from services.data_service.sources.hub_source import HubPlace

_MAX_ADDRESS = 4000


class ImportCalls(Calls):
    """Imports, and what can be imported."""

    async def ImportDataset(self, request: pb.ImportDatasetRequest, context: Context) -> pb.DataJob:
        dataset_id, new_dataset = job_request.receiver(request)
        reading = job_request.reading(request.form, request.train_on, request.read)
        source, size = await self._source(request)
        spec = replace(reading, source=source, new_dataset=new_dataset)
        return await self._start(JobKind.IMPORT, dataset_id, spec, request, total_bytes=size)

    async def ListDroppedFiles(
        self, request: pb.ListDroppedFilesRequest, context: Context
    ) -> pb.ListDroppedFilesResponse:
        if request.page_size < 0:
            raise InvalidArgument.field(
                "page_size", "NEGATIVE", "Must not be negative.", "0 以上の値を指定してください。"
            )
        size = min(request.page_size, MAX_SIZE) or DEFAULT_SIZE
        after = _name(request.page_token)
        found = [file for file in await asyncio.to_thread(self._parts.drop.list) if file.name > after]
        token = _token(found[size - 1].name) if len(found) > size else ""
        return pb.ListDroppedFilesResponse(files=[_file(file) for file in found[:size]], next_page_token=token)

    async def _source(self, request: pb.ImportDatasetRequest) -> tuple[str, int]:
        """Where the file is, as the job keeps it, and its size where that is known. What is wrong is told at once."""
        kind = request.WhichOneof("source")
        if kind == "dropped_file":
            found = await asyncio.to_thread(self._parts.drop.look, request.dropped_file)
            return drop_directory.SCHEME + request.dropped_file, found.size_bytes
        if kind == "url":
            self._parts.urls.check(_address("url", request.url, "https://"))
            return request.url, 0
        if kind == "s3_uri":
            self._parts.buckets.check(_address("s3_uri", request.s3_uri, "s3://"))
            return request.s3_uri, 0
        if kind == "hub":
            return str(HubPlace.checked(request.hub.id, request.hub.revision, request.hub.path)), 0
        en = "Name one of dropped_file, s3_uri, url or hub."
        raise InvalidArgument.field(
            "source", "MISSING", en, "dropped_file、s3_uri、url、hub のいずれかを指定してください。"
        )


def _address(field: str, text: str, scheme: str) -> str:
    unreadable = any(character.isspace() or not character.isprintable() for character in text)
    if len(text) > _MAX_ADDRESS or unreadable or (field == "s3_uri" and not text.startswith(scheme)):
        raise InvalidArgument.field(
            field,
            "INVALID_ADDRESS",
            f"Must be an address that begins with {scheme}, without spaces.",
            f"{scheme} で始まる、空白を含まないアドレスを指定してください。",
        )
    return text


def _file(value: DroppedFile) -> pb.DroppedFile:
    seconds = int(value.changed)
    nanos = int((value.changed - seconds) * 1_000_000) * 1000
    return pb.DroppedFile(
        name=value.name,
        size_bytes=value.size_bytes,
        files=value.files,
        settled=value.settled,
        update_time=Timestamp(seconds=seconds, nanos=nanos),
    )


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode("utf-8", "surrogateescape")).decode()


def _name(token: str) -> str:
    """The last name of the page before, from which this one goes on."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        en, ja = "Is not a token of this list.", "このリストのトークンではありません。"
        raise InvalidArgument.field("page_token", "INVALID_PAGE_TOKEN", en, ja) from None
