"""Who is calling, for whom, and under which request id: set once a call, read anywhere below it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from services.core.errors import BOTH


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a verified token says."""

    principal: str
    """Who it was given to (`sub`)."""
    tenant: str
    role: str
    """"viewer", "editor", "admin", "worker" or "service"."""
    token_id: str
    """`jti`, by which it can be revoked."""
    expires_at: float
    """Seconds since 1970."""
    job: str | None = None
    """Of an attempt's token: the job's resource name."""
    attempt: int | None = None
    fence: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestContext:
    """One call. `tenant` and `principal` are those that a service passed on, when it did."""

    tenant: str
    principal: str
    role: str
    request_id: str
    """The 32 hexadecimal digits of the W3C trace id."""
    languages: tuple[str, ...] = BOTH
    method: str = ""
    """"/package.Service/Method"."""
    claims: Claims | None = None


_current: ContextVar[RequestContext | None] = ContextVar("aift_request", default=None)


def find() -> RequestContext | None:
    """The current call's context, None outside a call."""
    return _current.get()


def current() -> RequestContext:
    """The current call's context. Raises LookupError outside a call."""
    context = _current.get()
    if context is None:
        raise LookupError("no call is being served here")
    return context


def enter(context: RequestContext) -> None:
    """Sets the context for the rest of the running task."""
    _current.set(context)


@contextmanager
def acting(tenant: str, principal: str, *, request_id: str | None = None) -> Iterator[RequestContext]:
    """Background work on behalf of someone: outgoing calls made inside carry this tenant and principal."""
    context = RequestContext(
        tenant=tenant, principal=principal, role="service", request_id=request_id or new_request_id()
    )
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def new_request_id() -> str:
    """A trace id: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def traceparent(request_id: str) -> str:
    """The W3C header that carries `request_id` on, with a new span id."""
    return f"00-{request_id}-{secrets.token_hex(8)}-01"


def request_id_of(header: str | None) -> str:
    """The trace id in a traceparent header, or a new one when there is none or it is malformed."""
    parts = (header or "").split("-")
    if len(parts) >= 4 and len(parts[1]) == 32 and set(parts[1]) <= set("0123456789abcdef") and set(parts[1]) != {"0"}:
        return parts[1]
    return new_request_id()
