"""A small Hugging Face Hub on loopback: the calls that loading a model makes, and the ways in which it refuses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(kw_only=True)
class Repository:
    """One model there."""

    files: Mapping[str, bytes]
    # A token that may read its files; empty: anyone may.
    gated_for: str = ""
    # Paths that are asked for again and again break off in the middle this often.
    broken: dict[str, int] = field(default_factory=dict)
    # Files whose bytes are sent only once this is set.
    held: asyncio.Event | None = None


class HubServer:
    """Serves repositories by id. Start it inside of a running loop; port 0 takes a free one."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        # Set when the bytes of weights are asked for.
        self.sending = asyncio.Event()
        self.tokens: set[str] = set()
        self.away = False
        self.url = ""
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}/revision/{revision:.+}", self._info)
        app.router.add_get("/api/datasets/{owner}/{name}/revision/{revision:.+}", self._info)
        app.router.add_route("*", "/datasets/{owner}/{name}/resolve/{revision}/{path:.+}", self._file)
        app.router.add_route("*", "/{owner}/{name}/resolve/{revision}/{path:.+}", self._file)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)

    async def __aenter__(self) -> HubServer:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _info(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        repository = self.repositories[self._id(request)]
        if request.match_info["revision"] not in ("main", "v1", COMMIT):
            return _refused(404, "RevisionNotFound")
        siblings = [_sibling(path, data) for path, data in repository.files.items()]
        return web.json_response({"id": self._id(request), "sha": COMMIT, "siblings": siblings})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        repository = self.repositories[self._id(request)]
        path = request.match_info["path"]
        token = request.headers.get("Authorization", "")
        if repository.gated_for and token != f"Bearer {repository.gated_for}":
            return _refused(401 if not token else 403, "GatedRepo")
        data = repository.files[path]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(data))})
        self.asked.append(path)
        if path.endswith(".safetensors"):
            self.sending.set()
        return await self._send(request, repository, path, headers)

    async def _send(
        self, request: web.Request, repository: Repository, path: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        data = repository.files[path]
        response = web.StreamResponse(headers={**headers, "Content-Length": str(len(data))})
        await response.prepare(request)
        if repository.held is not None and path.endswith(".safetensors"):
            await response.write(data[:8])
            await repository.held.wait()
            await response.write(data[8:])
            return response
        if repository.broken.get(path, 0) > 0:
            repository.broken[path] -= 1
            await response.write(data[: len(data) // 2])
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(data)
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        self.tokens.add(request.headers.get("Authorization", ""))
        if self.away:
            return web.Response(status=503)
        return None if self._id(request) in self.repositories else _refused(404, "RepoNotFound")

    def _id(self, request: web.Request) -> str:
        return f"{request.match_info['owner']}/{request.match_info['name']}"


def _refused(status: int, code: str) -> web.Response:
    return web.Response(status=status, headers={"X-Error-Code": code, "X-Error-Message": "refused"})


def _sibling(path: str, data: bytes) -> dict[str, object]:
    found: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
    if path.endswith((".safetensors", ".bin")):
        found["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return found
