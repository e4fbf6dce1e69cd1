"""Who asks, for pages and for the plain requests beside them, and the client that acts for them."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from aift import Client
from starlette.requests import Request

from frontend.settings import PageSettings

TOKEN_COOKIE = "aift_token"  # noqa: S105 - a name
OWN_HEADER = "x-aift-page"
"""Sent by our own scripts: other sites cannot set it without asking first, and nobody answers them."""


@lru_cache(maxsize=64)
def client_of(token: str | None) -> Client:
    """The client of a token; without one, of this machine's user."""
    return Client(token=token)


def visitor_client(token: str | None) -> Client | None:
    """The client of whoever brings this cookie; None when they have to sign in first."""
    if PageSettings.from_environment().opens_at_once:
        return client_of(None)
    return client_of(token) if token else None


def request_client(request: Request) -> Client | None:
    """The same for a plain request."""
    return visitor_client(request.cookies.get(TOKEN_COOKIE))


def comes_from_our_page(request: Request) -> bool:
    """Whether our own script sent a request that changes something, rather than another site's."""
    if request.headers.get(OWN_HEADER) != "1":
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")
