"""Files of data sets to the browser, as a stream."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from aift import AiftError
from aift.datasets import download_name, file_of
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from frontend.refusals import refusal, refused
from frontend.visitors import request_client


def routes() -> list[Route]:
    """One for all files of versions."""
    return [Route("/downloads/datasets/{dataset}/versions/{number:int}/{file}", download, methods=["GET"])]


def address(version: str, file: str) -> str:
    """Where a version's file can be had: file is "original", "canonical" or "set-aside"."""
    return f"/downloads/{version}/{file}"


async def download(request: Request) -> Response:
    """The bytes, under the name that the file was sent with. Changes nothing, and other sites cannot read it."""
    client = request_client(request)
    if client is None:
        return refused(HTTPStatus.UNAUTHORIZED, "SIGN_IN", "サインインしてください。", "Sign in first.")
    file = request.path_params["file"]
    name = f"datasets/{request.path_params['dataset']}/versions/{request.path_params['number']}"
    try:
        version = await run_in_threadpool(client.datasets.version, name)
        entry = file_of(version, file)
    except AiftError as error:
        return refusal(error)
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(download_name(version, file), safe='')}",
        "content-length": str(entry.size_bytes),
        "x-content-type-options": "nosniff",
    }
    content = client.datasets.read(version.name, entry.path)
    return StreamingResponse(content, media_type="application/octet-stream", headers=headers)
