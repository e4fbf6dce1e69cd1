"""Joining objects in S3: the server copies several parts at a time, where the `minio` package asks for one by one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from minio import Minio
from minio.commonconfig import CopySource
from minio.datatypes import Part

_AT_ONCE = 8
"""Copies that one process has under way, of all joins together: the server reads and writes each of them."""


class JoiningMinio(Minio):  # type: ignore[misc]  # the package is not checked
    """The package's client, with a join of its own."""

    _copies = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="s3-copy")

    def join(self, bucket: str, sources: Sequence[str], target: str) -> None:
        """Makes one object of several, in order; each but the last is 5 MiB to 5 GiB long.

        Blocks; raises S3Error and what urllib3 raises, and nothing is left then.
        """
        upload = self._create_multipart_upload(bucket, target, {})
        copies = [
            self._copies.submit(self._copy, bucket, source, target, upload, number)
            for number, source in enumerate(sources, start=1)
        ]
        try:
            self._complete_multipart_upload(bucket, target, upload, [copy.result() for copy in copies])
        except BaseException:
            for copy in copies:
                copy.cancel()
            wait(copies)  # a part that came after the end would stay
            self._abort_multipart_upload(bucket, target, upload)
            raise

    def _copy(self, bucket: str, source: str, target: str, upload: str, number: int) -> Part:
        headers = CopySource(bucket, source).gen_copy_headers()
        etag, _ = self._upload_part_copy(bucket, target, upload, number, headers)
        return Part(number, etag)
