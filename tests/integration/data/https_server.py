"""An https server on loopback with a certificate of its own, and names that lead to it."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.abc import ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.data_service.sources.public_addresses import PublicResolver

CONTENT = b'{"text": "abc"}\n' * 200_000
TAG = '"one"'


class HttpsServer:
    """Paths: /data.jsonl, /broken.jsonl (breaks off in the middle `breaks` times), /to?{url} (redirects), /slow."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = _certificate(folder, names)
        self._context.load_cert_chain(certificate)
        self.trusted = ssl.create_default_context(cafile=str(certificate))
        self.breaks = 0
        self.tag = TAG
        self.ranges: list[str] = []
        self.port = 0
        app = web.Application()
        app.router.add_get("/data.jsonl", self._data)
        app.router.add_get("/broken.jsonl", self._broken)
        app.router.add_get("/to", self._redirect)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)

    async def __aenter__(self) -> HttpsServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _data(self, _: web.Request) -> web.Response:
        return web.Response(body=CONTENT)

    async def _redirect(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["url"]})

    async def _broken(self, request: web.Request) -> web.StreamResponse:
        start = 0
        if "Range" in request.headers:
            self.ranges.append(request.headers["Range"])
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        headers = {"Content-Length": str(len(CONTENT) - start), **({"ETag": self.tag} if self.tag else {})}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        end = len(CONTENT)
        if self.breaks:
            self.breaks -= 1
            end = start + 600_000
        await response.write(CONTENT[start:end])
        if end < len(CONTENT):
            await asyncio.sleep(0.1)
            assert request.transport is not None
            request.transport.abort()
        return response


class Names(PublicResolver):
    """Names of a test that lead to loopback without being looked at, as if it were public; others to what is given."""

    def __init__(self, public: tuple[str, ...], others: Mapping[str, str]) -> None:
        self._public = public
        self._others = others

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """What the test says."""
        if host in self._public:
            return [_answer(host, "127.0.0.1", port)]
        return await super().resolve(host, port, family)

    async def look_up(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        """What the test's name server says."""
        return [_answer(host, self._others[host], port)]


def _answer(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)


def _certificate(folder: Path, names: tuple[str, ...]) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + made.public_bytes(pem))
    return path
