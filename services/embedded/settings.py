"""Settings of the supervisor itself; what it starts is configured by it."""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_state_dir() -> Path:
    """Where root keeps a service's state, else where a person keeps a program's."""
    if os.geteuid() == 0:
        return Path("/var/lib/aift")
    return Path.home() / ".local" / "share" / "aift"


class EmbeddedSettings(BaseSettings):
    """Environment `AIFT_*`; options of the command line win over it."""

    model_config = SettingsConfigDict(env_prefix="AIFT_", extra="ignore")

    state_dir: Path = Field(default_factory=default_state_dir, description="Directory of everything that is kept.")
    host: str = Field(default="127.0.0.1", description="Address that the services and the page listen on.")
    data_port: int = Field(default=50051, ge=0, le=65535, description="Port of the data service; 0: any free one.")
    training_port: int = Field(default=50052, ge=0, le=65535, description="Port of the training service.")
    registry_port: int = Field(default=50053, ge=0, le=65535, description="Port of the registry service.")
    inference_port: int = Field(default=50054, ge=0, le=65535, description="Port of the inference service.")
    page_port: int = Field(default=8050, ge=0, le=65535, description="Port of the web page.")
    page: bool = Field(default=True, description="Whether the web page is started.")
    start_seconds: float = Field(
        default=300.0, gt=0, description="How long everything may take to become ready, in seconds."
    )
    database_url: SecretStr | None = Field(
        default=None, description="A PostgreSQL of your own (psycopg URL); without it one is started here."
    )

    def ports(self) -> dict[str, int]:
        """Configured port by process name; 0 means any free one."""
        ports = {
            "data": self.data_port,
            "training": self.training_port,
            "registry": self.registry_port,
            "inference": self.inference_port,
        }
        return {**ports, "page": self.page_port} if self.page else ports
