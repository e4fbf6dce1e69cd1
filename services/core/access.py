"""Which roles may call which RPC: read from the contracts, refused where they say nothing."""

from aift.common.v1 import auth_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pool import DescriptorPool

from services.core.errors import PermissionDenied

OPEN_PREFIX = "/grpc.health.v1.Health/"
REFLECTION_PREFIX = "/grpc.reflection."
_READERS = frozenset({"viewer", "editor", "admin"})


class AccessTable:
    """Roles by method, filled as methods are called. Health is open; reflection is open or for viewers."""

    def __init__(self, *, open_reflection: bool, pool: DescriptorPool | None = None) -> None:
        self._open_reflection = open_reflection
        self._pool = pool or descriptor_pool.Default()
        self._roles: dict[str, frozenset[str] | None] = {}

    def roles(self, method: str) -> frozenset[str] | None:
        """The roles that may call "/package.Service/Method"; None when it needs no token."""
        if method not in self._roles:
            self._roles[method] = self._find(method)
        return self._roles[method]

    def check(self, method: str, role: str) -> None:
        """Raises PermissionDenied unless the role may call the method."""
        allowed = self.roles(method)
        if allowed is not None and role not in allowed:
            raise PermissionDenied(role=role, method=method, allowed=", ".join(sorted(allowed)))

    def _find(self, method: str) -> frozenset[str] | None:
        if method.startswith(OPEN_PREFIX):
            return None
        if method.startswith(REFLECTION_PREFIX):
            return None if self._open_reflection else _READERS
        return declared_roles(method, self._pool)


def declared_roles(method: str, pool: DescriptorPool) -> frozenset[str]:
    """What `(aift.common.v1.allowed_roles)` says of a method; empty when it says nothing or is not known."""
    service, _, name = method.lstrip("/").partition("/")
    try:
        descriptor = pool.FindServiceByName(service).FindMethodByName(name)
    except KeyError:
        return frozenset()
    declared = descriptor.GetOptions().Extensions[auth_pb2.allowed_roles] if descriptor is not None else []
    named = (auth_pb2.Role.Name(role) for role in declared if role != auth_pb2.ROLE_UNSPECIFIED)
    return frozenset(name.removeprefix("ROLE_").lower() for name in named)
