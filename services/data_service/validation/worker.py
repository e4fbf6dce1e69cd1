"""`python -m services.data_service.validation.worker`: checks the blocks that arrive on standard input.

Both directions are pickles between a process and its own child: the rules first, then blocks one by one, each answered.
"""

from __future__ import annotations

import pickle
import sys

from services.core import lifeline
from services.data_service.validation.block_check import BlockCheck


def main() -> None:
    """Works until standard input ends."""
    lifeline.attach()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    check = BlockCheck(pickle.load(source))  # noqa: S301 - written by our parent
    while True:
        try:
            block = pickle.load(source)  # noqa: S301 - written by our parent
        except EOFError:
            return
        pickle.dump(check.check(block), target, protocol=5)
        target.flush()


if __name__ == "__main__":
    main()
