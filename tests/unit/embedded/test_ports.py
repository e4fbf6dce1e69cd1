"""Ports are chosen free and looked at before use."""

import os
import socket

import pytest

from services.embedded import ports
from services.embedded.errors import PortTaken


def test_keeps_the_configured_and_chooses_the_rest_apart() -> None:
    chosen = ports.choose({"a": 50051, **{f"n{number}": 0 for number in range(20)}}, "127.0.0.1")
    assert chosen["a"] == 50051
    assert len(set(chosen.values())) == 21
    assert next(iter(chosen)) == "a"
    ports.check({name: port for name, port in chosen.items() if name != "a"}, "127.0.0.1")


@pytest.mark.parametrize("listening_on", ["127.0.0.1", "0.0.0.0"])
def test_a_listener_is_found_and_named(listening_on: str) -> None:
    with socket.create_server((listening_on, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} \(page\) .*pid {os.getpid()}"):
            ports.check({"page": port}, "127.0.0.1")


def test_a_port_shared_on_purpose_is_taken_too() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not ports.bindable("127.0.0.1", server.getsockname()[1])


def test_a_port_whose_connections_just_closed_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    assert ports.bindable("127.0.0.1", port)
    assert ports.owner(port) is None
