"""Tokens of attempts: what an agent may write, signed with the training service's own key."""

import time
from pathlib import Path

from services.core import auth, keys
from services.core.context import Claims
from services.training_service.domain import Job

ROLE = "worker"


class AttemptTokens:
    """Mints tokens that name tenant, job, attempt and fence. Raises OSError or ValueError for a key that is none."""

    def __init__(self, key_file: Path, *, ttl_s: float) -> None:
        self._key = keys.load_private(key_file)
        self._ttl_s = ttl_s

    def mint(self, job: Job) -> str:
        """The token of the job's current attempt."""
        return auth.mint(
            self._key,
            subject=f"{job.name}/attempts/{job.attempt}",
            tenant=job.tenant,
            role=ROLE,
            ttl_s=self._ttl_s,
            job=job.name,
            attempt=job.attempt,
            fence=job.fence,
        )

    def renewed(self, job: Job, claims: Claims | None) -> str:
        """A fresh token once half of the old one's time is over, else empty."""
        if claims is None or claims.expires_at - time.time() > self._ttl_s / 2:
            return ""
        return self.mint(job)
