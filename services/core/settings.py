"""What a process is told from outside: environment variables `AIFT_*` and, below them, one YAML file."""

import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource
from yaml import YAMLError

from services.core.cache_room import Bounds

ENV_PREFIX = "AIFT_"
CONFIG_FILE_ENV = "AIFT_CONFIG_FILE"
BAD_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


def default_state_dir() -> Path:
    """Where a machine keeps everything: /var/lib/aift for root, else under the user's home."""
    return Path("/var/lib/aift") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "aift"


class ProcessSettings(BaseSettings):
    """What every process of AIFT knows: where it may write, who it is, and where the services are."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    state_dir: Path = Field(
        default_factory=default_state_dir,
        description="The only folder that is written to.",
        json_schema_extra={"shown_default": "`/var/lib/aift` for root, else `~/.local/share/aift`"},
    )
    service_token_file: Path | None = Field(
        default=None, description="File with this process' own token, sent with its calls; read again when it changes."
    )
    data_address: str = Field(default="127.0.0.1:50051", description="Where the data service listens.")
    training_address: str = Field(default="127.0.0.1:50052", description="Where the training service listens.")
    registry_address: str = Field(default="127.0.0.1:50053", description="Where the registry service listens.")
    inference_address: str = Field(default="127.0.0.1:50054", description="Where the inference service listens.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged. Calls that succeed are logged at DEBUG."
    )

    @property
    def locks_path(self) -> Path:
        """Folder of the devices' locks, shared by all processes of the machine."""
        return self.state_dir / "locks"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the YAML file named by AIFT_CONFIG_FILE."""
        del dotenv_settings, file_secret_settings
        name = os.environ.get(CONFIG_FILE_ENV)
        if not name:
            return init_settings, env_settings
        if not Path(name).is_file():
            raise FileNotFoundError(f"{CONFIG_FILE_ENV} names {name}, which is not a file")
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=name)


class CacheSettings(ProcessSettings):
    """What processes have in common that fetch base models, adapters and data sets into a cache of their machine."""

    cache_max_bytes: int = Field(
        default=0,
        ge=0,
        description="Most that a machine keeps of base models, adapters and data sets that were fetched, in bytes; 0: as "
        "much as the disk holds. What nobody uses goes first, the least recently used of it before the rest.",
    )
    cache_free_bytes: int = Field(
        default=10 << 30,
        ge=0,
        description="How much of the disk a machine leaves free when it fetches, as long as there is something to remove "
        "that nobody uses, in bytes.",
    )

    @property
    def cache_bounds(self) -> Bounds:
        """How much the machine's caches may hold."""
        return Bounds(max_bytes=self.cache_max_bytes, free_bytes=self.cache_free_bytes)


class Settings(ProcessSettings):
    """What the four services have in common. Each derives its own class and may change defaults."""

    SERVICE: ClassVar[str] = "service"
    """The service's short name in logs and metrics, such as "data"."""

    listen: str = Field(default="127.0.0.1:50051", description="host:port of gRPC; port 0 takes a free one.")
    http_listen: str = Field(default="127.0.0.1:0", description="host:port of /livez, /readyz and /metrics.")
    database_url: SecretStr = Field(
        description="PostgreSQL, as postgresql://role:password@host:port/database; ?host= may name a socket folder."
    )
    object_store: Literal["file", "s3"] = Field(default="file", description="Where artifacts lie: a folder, or S3.")
    object_dir: Path | None = Field(
        default=None, description="Folder of the file store; by default `objects` in the state directory."
    )
    s3_endpoint: str = Field(default="127.0.0.1:9000", description="host:port of the S3 server.")
    s3_public_url: str | None = Field(
        default=None, description="http(s)://host:port under which workers reach the S3 server; signed into addresses."
    )
    s3_bucket: str = Field(default="aift", description="Bucket that all services share; each has its prefix.")
    s3_access_key: str = Field(default="", description="S3 access key.")
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key.")
    s3_secure: bool = Field(default=False, description="Whether the S3 server speaks TLS.")
    s3_region: str = Field(default="us-east-1", description="S3 region.")
    auth_dir: Path | None = Field(
        default=None,
        description="Folder with the public keys (*.pem) that sign tokens and revoked.txt; by default `auth` in the "
        "state directory. Read again when it changes.",
    )
    drain_seconds: float = Field(
        default=20.0, ge=0, le=3600, description="How long running calls may take to finish after SIGTERM, in seconds."
    )
    default_deadline_seconds: float = Field(
        default=60.0, gt=0, description="Deadline of a unary call whose client set none, in seconds."
    )
    reflection: bool | None = Field(
        default=None, description="Whether anyone may list the contracts; unset: on loopback yes, else viewers only."
    )

    @property
    def objects_path(self) -> Path:
        """Folder of the file store."""
        return self.object_dir or self.state_dir / "objects"

    @property
    def auth_path(self) -> Path:
        """Folder of the public keys and of revoked.txt."""
        return self.auth_dir or self.state_dir / "auth"

    @property
    def open_reflection(self) -> bool:
        """Whether reflection needs no token."""
        return is_loopback(self.listen) if self.reflection is None else self.reflection


def is_loopback(address: str) -> bool:
    """Whether a host:port listens on this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


S = TypeVar("S", bound=ProcessSettings)


def load(kind: type[S]) -> S:
    """The settings of this process. Ends it with status 78 and one line a mistake; values are never shown."""
    try:
        return kind()
    except ValidationError as error:
        for mistake in error.errors(include_input=False, include_url=False, include_context=False):
            name = ENV_PREFIX + "_".join(str(part) for part in mistake["loc"]).upper()
            sys.stderr.write(f"{name}: {mistake['msg']}\n")
    except (OSError, ValueError, YAMLError) as error:
        sys.stderr.write(f"{error}\n")
    raise SystemExit(BAD_CONFIGURATION)
