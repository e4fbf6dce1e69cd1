"""What the data service is told from outside."""

from __future__ import annotations

from pydantic import Field

from services.core.settings import Settings


class DataSettings(Settings):
    """Environment variables `AIFT_*`, and the YAML file below them."""

    SERVICE = "data"

    listen: str = Field(default="127.0.0.1:50051", description="host:port of gRPC; port 0 takes a free one.")
    max_upload_bytes: int = Field(
        default=64 << 30, gt=0, le=78 << 30, description="Largest file that can be uploaded, in bytes."
    )
    data_job_processes: int = Field(
        default=1, ge=1, le=64, description="How many files this process checks at the same time, each in a child."
    )
    data_job_lease_seconds: float = Field(
        default=15.0, ge=1, description="After how long without a sign of life another process takes a data job over."
    )
    supervision_idle_seconds: float = Field(
        default=300.0, gt=0, description="After how long without a preview of trained tokens its process ends."
    )
    sweep_seconds: float = Field(
        default=600.0, gt=0, description="How often expired uploads and bytes that nothing refers to are looked for."
    )
