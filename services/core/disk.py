"""Whether an error means that a disk is full."""

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: BaseException) -> bool:
    """Whether the system found no room, or no more within a quota."""
    return isinstance(error, OSError) and error.errno in _FULL
