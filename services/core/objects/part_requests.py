"""Putting an object of known pieces into S3 with one request and no needless work.

The `minio` package joins the pieces and, over plain http, signs their SHA-256: on the way through us, every byte would
be copied once and hashed once more than its content needs. Here the signature leaves the content out
(UNSIGNED-PAYLOAD, as in presigned addresses) and covers a CRC-32 instead, which the server checks before it keeps the
object. Content is proved by the SHA-256 of the whole, which is counted as it comes in and checked by whoever loads it.
"""

import time
import zlib
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit
from xml.etree import ElementTree

import urllib3
from minio import Minio
from minio.credentials import Provider
from minio.error import MinioException, S3Error, ServerError
from minio.signer import sign_v4_s3

_UNSIGNED = "UNSIGNED-PAYLOAD"
_OK = 200
_FORBIDDEN = 403
_TRIES = 3


class PartRequests:
    """Requests to one bucket of `client`'s server, on connections of their own."""

    def __init__(
        self, client: Minio, bucket: str, *, region: str, credentials: Provider | None, pool: urllib3.PoolManager
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._region = region
        self._credentials = credentials
        self._pool = pool

    def put(self, key: str, pieces: Sequence[bytes]) -> None:
        """Stores the joined pieces under a key. Blocks; raises what urllib3 raises, S3Error and ServerError."""
        # The package knows how each server wants its buckets named.
        address = self._client.get_presigned_url("PUT", self._bucket, key).partition("?")[0]
        headers = self._signed("PUT", address, pieces)
        for left in reversed(range(_TRIES)):
            # A list, so that it can be sent again.
            answer = self._pool.urlopen("PUT", address, body=list(pieces), headers=headers)
            if answer.status == _OK:
                return
            # MinIO on one drive answers so while a delete of the key's neighbour takes their folder away.
            if answer.status != _FORBIDDEN or not left:
                raise _failure(answer)
            time.sleep(0.05)

    def _signed(self, method: str, address: str, pieces: Sequence[bytes]) -> dict[str, str]:
        url, checksum = urlsplit(address), 0
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
        now = datetime.now(UTC)
        headers = {
            "Host": url.netloc,
            "Content-Length": str(sum(len(piece) for piece in pieces)),
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
            "x-amz-content-sha256": _UNSIGNED,
            "x-amz-checksum-crc32": b64encode(checksum.to_bytes(4, "big")).decode(),
        }
        if self._credentials is None:
            return headers
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self._region,
            headers=headers,
            credentials=self._credentials.retrieve(),
            content_sha256=_UNSIGNED,
            date=now,
        )
        return {name: str(value) for name, value in signed.items()}


def _failure(answer: urllib3.BaseHTTPResponse) -> MinioException:
    try:
        return S3Error.fromxml(answer)
    except ElementTree.ParseError:
        return ServerError(answer.data[:500].decode(errors="replace"), answer.status)
