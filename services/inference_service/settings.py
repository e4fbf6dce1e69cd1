"""What the inference service is told from outside."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from services.core.settings import CacheSettings, Settings


class InferenceSettings(Settings, CacheSettings):
    """Settings of the inference service."""

    SERVICE: ClassVar[str] = "inference"

    listen: str = Field(default="127.0.0.1:50054", description="host:port of gRPC; port 0 takes a free one.")
    engine_cache_dir: Path | None = Field(
        default=None, description="Folder of model files by digest; by default `cache/models` in the state directory."
    )
    engine_module: str = Field(
        default="services.inference_service.engines.transformers", description="Module that runs as engine process."
    )
    engine_max_rows: int = Field(default=32, ge=1, le=4096, description="Requests in one batch of an engine.")
    engine_threads: int = Field(default=0, ge=0, description="Processor threads of an engine; 0 takes torch's default.")
    engine_idle_seconds: float = Field(
        default=900.0,
        gt=0,
        description="How long a model that nobody asked to keep stays in memory unused, in seconds.",
    )
    engine_gpu_idle_seconds: float = Field(
        default=60.0,
        gt=0,
        description="The same for a model on a GPU, which no training job can have meanwhile, in seconds.",
    )
    max_requests: int = Field(
        default=256,
        ge=1,
        description="Requests that may wait or run at once; more are refused with RESOURCE_EXHAUSTED.",
    )

    @property
    def cache_path(self) -> Path:
        """Folder of model files by digest."""
        return self.engine_cache_dir or self.state_dir / "cache" / "models"
