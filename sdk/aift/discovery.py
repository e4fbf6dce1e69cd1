"""Where the services are and who we are: arguments, environment, then what the embedded system wrote."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import grpc

from aift.errors import AiftError


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where each service listens, "host:port"; the defaults are those of an installation without settings."""

    data: str = "127.0.0.1:50051"
    training: str = "127.0.0.1:50052"
    registry: str = "127.0.0.1:50053"
    inference: str = "127.0.0.1:50054"

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The services, in the order of the main job."""
        return tuple(entry.name for entry in fields(cls))


@dataclass(frozen=True, kw_only=True)
class Token:
    """The caller's token: given, or in a file that is read again for every call, so that it can be renewed."""

    value: str = ""
    file: Path | None = None

    def read(self) -> str:
        """The token now, or "" where there is none. Raises AiftError TOKEN_UNREADABLE."""
        if self.value or self.file is None:
            return self.value
        try:
            return self.file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AiftError(
                "TOKEN_UNREADABLE",
                grpc.StatusCode.UNAUTHENTICATED,
                f"The token file {self.file} cannot be read: {error}",
                f"トークンのファイル {self.file} を読めません: {error}",
            ) from error


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Everything that a connection starts from."""

    addresses: Addresses
    token: Token
    page: str = ""


def default_state_dir() -> Path:
    """Where the embedded system keeps its state: AIFT_STATE_DIR, else /var/lib/aift for root, else the user's own."""
    if configured := os.environ.get("AIFT_STATE_DIR"):
        return Path(configured).expanduser()
    return Path("/var/lib/aift") if os.geteuid() == 0 else Path.home() / ".local/share/aift"


def discover(
    *,
    token: str | None = None,
    addresses: Mapping[str, str] | None = None,
    state_dir: str | Path | None = None,
) -> Endpoint:
    """Finds addresses and token, each from the first place that has it.

    The order: arguments (a state_dir given here counts as one), environment, the default state directory, and for
    addresses the default ports. Raises AiftError NOT_RUNNING when a given state_dir has no running system.
    """
    given = dict(addresses or {})
    if unknown := given.keys() - set(Addresses.names()):
        raise TypeError(f"no such service: {', '.join(sorted(unknown))}; there are {', '.join(Addresses.names())}")
    environment = _from_environment()
    if state_dir is not None:
        places = [given, _client_file(Path(state_dir).expanduser(), required=True), environment]
    elif {**given, **environment}.keys() >= set(Addresses.names()):
        # Another installation was named: this machine's own token is none of its business.
        places = [given, environment]
    else:
        places = [given, environment, _client_file(default_state_dir(), required=False)]
    found = {name: value for place in reversed(places) for name, value in place.items() if value}
    return Endpoint(
        addresses=Addresses(**{name: found[name] for name in Addresses.names() if name in found}),
        token=Token(value=token) if token is not None else _token(places),
        page=found.get("page", ""),
    )


def _token(places: list[dict[str, str]]) -> Token:
    for place in places:
        if value := place.get("token"):
            return Token(value=value)
        if file := place.get("token_file"):
            return Token(file=Path(file).expanduser())
    return Token()


def _from_environment() -> dict[str, str]:
    names = {name: f"AIFT_{name.upper()}_ADDRESS" for name in Addresses.names()}
    names |= {"token": "AIFT_TOKEN", "token_file": "AIFT_TOKEN_FILE"}
    return {name: os.environ[variable] for name, variable in names.items() if os.environ.get(variable)}


def _client_file(state_dir: Path, *, required: bool) -> dict[str, str]:
    path = state_dir / "client.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in content.items() if value is not None}
    except FileNotFoundError:
        if not required:
            return {}
        raise _not_running(state_dir) from None
    except (OSError, ValueError, AttributeError) as error:
        raise AiftError(
            "CLIENT_FILE_UNREADABLE",
            grpc.StatusCode.FAILED_PRECONDITION,
            f"{path} cannot be read: {error}",
            f"{path} を読めません: {error}",
        ) from error


def _not_running(state_dir: Path) -> AiftError:
    return AiftError(
        "NOT_RUNNING",
        grpc.StatusCode.UNAVAILABLE,
        f"No AIFT runs with the state directory {state_dir}. Start it with: aift up --state-dir {state_dir}",
        f"状態ディレクトリ {state_dir} で動いている AIFT はありません。起動するには: aift up --state-dir {state_dir}",
    )
