"""A free port that somebody else took before our process listened on it."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from services.embedded import up
from services.embedded.errors import StartFailed
from services.embedded.layout import StateDir
from services.embedded.session import Healthy, Say
from services.embedded.settings import EmbeddedSettings

Runs = list[Mapping[str, int]]


class LosingSession:
    """Fails to start as long as `thieves` are left, each of which takes a chosen port first."""

    runs: Runs
    thieves: int
    sockets: list[socket.socket]

    def __init__(self, settings: EmbeddedSettings, state: StateDir, ports: Mapping[str, int], say: Say) -> None:
        self.runs.append(ports)

    async def run(self, healthy: Healthy) -> None:
        if len(self.runs) > self.thieves:
            return
        self.sockets.append(socket.create_server(("127.0.0.1", self.runs[-1]["data"])))
        raise StartFailed({"data": "cannot listen"})


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[LosingSession]]:
    LosingSession.runs, LosingSession.sockets, LosingSession.thieves = [], [], 0
    monkeypatch.setattr(up, "Session", LosingSession)
    yield LosingSession
    for taken in LosingSession.sockets:
        taken.close()


def run(tmp_path: Path) -> None:
    automatic = EmbeddedSettings(data_port=0, training_port=0, registry_port=0, inference_port=0, page=False)
    up._run(automatic, StateDir(tmp_path), lambda runtime: None)


def test_starts_again_with_other_ports(sessions: type[LosingSession], tmp_path: Path) -> None:
    sessions.thieves = 2
    run(tmp_path)
    assert len({ports["data"] for ports in sessions.runs}) == 3


def test_gives_up_in_the_end(sessions: type[LosingSession], tmp_path: Path) -> None:
    sessions.thieves = 10
    with pytest.raises(StartFailed):
        run(tmp_path)
    assert len(sessions.runs) == 3
