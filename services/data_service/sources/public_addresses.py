"""Names resolved to addresses that imports may connect to, and to no others.

The connection goes to the very addresses that were looked at, so that a name which resolves differently a moment
later gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from services.data_service.sources.errors import UrlNotAllowed

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Answers machines of one cloud about themselves, although it looks public.
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})


def is_public(address: Address) -> bool:
    """Whether an address lies on the internet: not private, loopback, link-local, multicast, reserved or metadata."""
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _METADATA


class PublicResolver(AbstractResolver):
    """Resolves names whose addresses are all public."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises UrlNotAllowed when one of them is not public, OSError when it has none."""
        found = await self.look_up(host, port, family)
        for one in found:
            if not is_public(ipaddress.ip_address(one["host"].partition("%")[0])):
                raise UrlNotAllowed(
                    host=host,
                    detail_en="it leads to an address that is not public, and those are never asked",
                    detail_ja="公開されていないアドレスに解決されるため、取り込みには使えません",
                )
        return found

    async def look_up(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        """What the system's resolver says."""
        loop = asyncio.get_running_loop()
        answers = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in answers
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to by translation or a tunnel."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
