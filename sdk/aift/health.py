"""Whether a service serves, by the standard health protocol.

grpc.health.v1 is spoken by hand: two messages of one field, for which users need no further package.
"""

import grpc

_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"  # field 1, status = SERVING


def is_serving(channel: grpc.Channel, timeout_s: float) -> bool:
    """Whether the service says SERVING within the time."""
    check = channel.unary_unary(_CHECK, request_serializer=bytes, response_deserializer=bytes)
    try:
        return bool(check(b"", timeout=timeout_s) == _SERVING)
    except grpc.RpcError:
        return False
