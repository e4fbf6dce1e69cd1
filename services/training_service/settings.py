"""What the training service, its workers and its agents are told from outside."""

import socket
from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.core.settings import CacheSettings, Settings


class TrainingSettings(Settings):
    """Settings of `python -m services.training_service serve` and `migrate`."""

    SERVICE: ClassVar[str] = "training"

    listen: str = Field(default="127.0.0.1:50052", description="host:port of gRPC; port 0 takes a free one.")
    attempt_key_file: Path | None = Field(
        default=None,
        description="Private key (Ed25519, PEM) that signs the tokens of attempts; by default `keys/attempt.pem` in the "
        "state directory. Its public key lies in auth_dir.",
    )
    lease_seconds: float = Field(
        default=30.0, gt=0, description="How long an attempt keeps its job without a heartbeat, in seconds."
    )
    grace_seconds: float = Field(
        default=1800.0, ge=0, description="How long an agent trains on that cannot reach the service, in seconds."
    )
    retry_budget: int = Field(
        default=3, ge=0, description="Attempts that may be lost in a row without a new checkpoint before a job fails."
    )
    retry_delay_seconds: float = Field(
        default=1.0, ge=0, description="Wait before the second attempt, in seconds; doubles each time, up to 60."
    )
    keep_checkpoints: int = Field(
        default=2, ge=1, description="Newest checkpoints that are kept of a job, besides the best one."
    )
    attempt_token_seconds: float = Field(
        default=86400.0, ge=60, description="Life of an attempt's token in seconds; heartbeats renew it in time."
    )
    watch_keepalive_seconds: float = Field(
        default=15.0, gt=0, description="Longest silence of WatchTrainingJob, in seconds."
    )
    leftover_seconds: float = Field(
        default=3600.0, ge=0, description="How long what an attempt left in the object store stays, in seconds."
    )
    purge_days: float = Field(default=7.0, ge=0, description="How long a deleted job can be looked into, in days.")
    quota_jobs: int | None = Field(
        default=None, ge=0, description="Jobs of a tenant that have not ended, at most; unset: as many as it likes."
    )
    quota_queued_jobs: int | None = Field(
        default=None, ge=0, description="Jobs of a tenant that wait, at most; unset: as many as it likes."
    )
    quota_gpus: int | None = Field(
        default=None,
        ge=0,
        description="GPUs that the jobs of a tenant which have not ended may ask for together, at most; unset: as many "
        "as it likes.",
    )
    events_days: float = Field(
        default=7.0,
        ge=0,
        description="How long after a job's end its events stay in the database, in days; then they lie in one "
        "compressed object.",
    )

    @property
    def attempt_key_path(self) -> Path:
        """Where the key lies that signs the tokens of attempts."""
        return self.attempt_key_file or self.state_dir / "keys" / "attempt.pem"


class AgentSettings(CacheSettings):
    """What agents are told; their workers pass it on to them."""

    trainer_module: str = Field(
        default="services.training_service.trainer", description="Python module that agents start as the trainer."
    )
    stop_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long a trainer may take to end when its job is cancelled or the worker stops, before it is "
        "killed, in seconds.",
    )
    pause_seconds: float = Field(
        default=1800.0,
        gt=0,
        description="How long a trainer may take to end its step and save when its job is paused, before it is killed, "
        "in seconds. A checkpoint that is being handed over when another node fails is waited for as long.",
    )
    stall_seconds: float = Field(
        default=300.0,
        gt=0,
        description="After how long without any move of the trainer a stall is told, in seconds; longer where its steps "
        "take longer than a tenth of this.",
    )
    log_lines_per_second: int = Field(
        default=200, ge=1, description="Lines of the trainer's log that are kept per second; the rest is counted."
    )

    disk_offload_dir: Path | None = Field(
        default=None,
        description="Absolute path of a directory on a fast disk (NVMe) that trainings may be offloaded to. DeepSpeed's "
        "library for it is compiled when the worker starts, which needs libaio-dev, g++ and ninja, with GPUs the CUDA "
        "toolkit too, and takes minutes the first time. Unset: offloading goes to memory only.",
    )

    @field_validator("disk_offload_dir")
    @classmethod
    def _is_absolute(cls, directory: Path | None) -> Path | None:
        if directory is not None and not directory.is_absolute():
            raise ValueError(f"is {directory}; name an absolute path")
        return directory

    @property
    def cache_path(self) -> Path:
        """Folder of base models and data sets by digest, shared by all processes of the machine."""
        return self.state_dir / "cache"


class WandbSettings(BaseSettings):
    """Weights & Biases, which has the metrics of a worker's jobs too where its key is set for the worker. The variables
    are its own; its further ones (`WANDB_ENTITY` …) hold as well. Trainers see none of them."""

    model_config = SettingsConfigDict(env_prefix="WANDB_", extra="ignore", frozen=True, env_ignore_empty=True)

    api_key: SecretStr | None = Field(default=None, description="Key of the account; unset: nothing goes there.")
    project: str = Field(default="aift", description="Project of the runs; each job is one.")
    base_url: str | None = Field(default=None, description="URL of a server of your own; unset: wandb.ai.")
    mode: str = Field(
        default="online",
        description="`offline` leaves the runs in `wandb` in the state directory for `wandb sync` and needs no key; "
        "`disabled` turns all off.",
    )

    @property
    def wanted(self) -> bool:
        """Whether jobs are to be seen there."""
        return self.mode == "offline" or (self.mode != "disabled" and self.api_key is not None)


class WorkerSettings(AgentSettings):
    """Settings of `python -m services.training_service worker`."""

    http_listen: str = Field(default="127.0.0.1:0", description="host:port of /livez, /readyz and /metrics.")
    worker_name: str = Field(
        default_factory=lambda: socket.gethostname().lower().split(".")[0],
        description="The worker's name, unique among all workers; by default the machine's.",
    )
    worker_dir: Path | None = Field(
        default=None, description="Folder for running attempts; by default `worker` in the state directory."
    )
    agent_silence_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long an agent may stand still before it is killed and its job goes on elsewhere, in seconds.",
    )
    report_seconds: float = Field(
        default=5.0, gt=0, description="How often the worker tells what its machine has and uses, in seconds."
    )

    @property
    def worker_path(self) -> Path:
        """Folder for running attempts."""
        return self.worker_dir or self.state_dir / "worker"


class NodeSettings(AgentSettings):
    """Settings of `python -m services.training_service agent`, which a launcher starts: on every node of an attempt
    that runs on several, each with the same part of the job's processes."""

    node_rank: int = Field(default=0, ge=0, description="Number of this node, counted from 0; node 0 leads.")
    nodes: int = Field(default=1, ge=1, validate_default=True, description="Nodes on which the attempt runs.")
    master_address: str = Field(default="127.0.0.1", description="Host under which all nodes reach node 0.")
    master_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        validate_default=True,
        description="Port of node 0 at which the ranks of all nodes meet; must be set where there are several.",
    )

    @field_validator("nodes")
    @classmethod
    def _counts_this_one(cls, nodes: int, others: ValidationInfo) -> int:
        rank = others.data.get("node_rank", 0)
        if nodes <= rank:
            raise ValueError(f"is {nodes}, but AIFT_NODE_RANK is {rank}; set it to more")
        return nodes

    @field_validator("master_port")
    @classmethod
    def _is_known_to_all(cls, port: int, others: ValidationInfo) -> int:
        nodes = others.data.get("nodes", 1)
        if nodes > 1 and port == 0:
            raise ValueError(f"is 0, but AIFT_NODES is {nodes}; set it to a port that is free on node 0")
        return port
