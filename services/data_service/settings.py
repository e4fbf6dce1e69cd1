"""What the data service is told from outside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from services.core.settings import Settings

_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5})?")


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
    drop_dir: Path | None = Field(
        default=None,
        description="Folder whose files ImportDataset can take; by default `drop` in the state directory.",
    )
    import_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts that imports may fetch https addresses from, separated by commas, such as "
        "`example.com,*.example.org,data.example.net:8443`; by default none.",
    )
    import_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Buckets of the S3 server that imports may read, or folders in them, separated by commas, such as "
        "`corpora,shared/text`; by default none.",
    )
    hub_token: SecretStr = Field(
        default=SecretStr(""), description="Token of the Hugging Face Hub for gated and private data; seen by no one."
    )
    hub_endpoint: str = Field(
        default="",
        description="Address of a mirror of the Hugging Face Hub; by default HF_ENDPOINT, or https://huggingface.co.",
    )
    supervision_idle_seconds: float = Field(
        default=300.0, gt=0, description="After how long without a preview of trained tokens its process ends."
    )
    sweep_seconds: float = Field(
        default=600.0, gt=0, description="How often expired uploads and bytes that nothing refers to are looked for."
    )

    @field_validator("import_hosts", "import_buckets", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """A list as a person writes it into the environment."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("import_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if _HOST.fullmatch(host.lower()) is None:
                raise ValueError(f"{host!r} is no host such as example.com, *.example.org or example.net:8443")
        return value

    @property
    def drop_path(self) -> Path:
        """The drop directory."""
        return self.drop_dir or self.state_dir / "drop"
