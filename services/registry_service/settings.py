"""What the registry is told from outside."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from services.core.settings import Settings


class RegistrySettings(Settings):
    """Settings of the registry."""

    SERVICE: ClassVar[str] = "registry"

    listen: str = Field(default="127.0.0.1:50053", description="host:port of gRPC; port 0 takes a free one.")
    hub_token: SecretStr = Field(
        default=SecretStr(""), description="Token of the Hugging Face Hub for gated and private models; seen by no one."
    )
    hub_endpoint: str = Field(
        default="",
        description="Address of a mirror of the Hugging Face Hub; by default HF_ENDPOINT, or https://huggingface.co.",
    )
    import_concurrency: int = Field(default=2, ge=1, le=16, description="Base models that are taken in at once.")
    import_reserve_bytes: int = Field(
        default=1 << 30, ge=0, description="Disk space that an import from the Hub must leave free, in bytes."
    )

    @property
    def imports_path(self) -> Path:
        """Folder in which downloads lie until they are in the object store."""
        return self.state_dir / "imports"
