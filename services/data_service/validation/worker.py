"""`python -m services.data_service.validation.worker`: checks the blocks that arrive on standard input.

The rules come first, then blocks one by one, each answered.
"""

from __future__ import annotations

import gc
import pickle
import sys
from contextlib import suppress

from services.core import lifeline
from services.data_service.validation.block_check import BlockCheck
from services.data_service.validation.canonical import Packer
from services.data_service.validation.workers import keep_memory


def main() -> None:
    """Works until standard input ends."""
    lifeline.attach()
    keep_memory()
    gc.disable()  # nothing here makes cycles, and to look for them among thousands of rows takes time
    source, target = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError):
        check = BlockCheck(pickle.load(source), packer=Packer())  # noqa: S301 - written by our parent
        while True:
            block = pickle.load(source)  # noqa: S301 - written by our parent
            pickle.dump(check.check(block), target, protocol=5)
            target.flush()


if __name__ == "__main__":
    main()
