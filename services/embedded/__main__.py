"""`python -m services.embedded`: what the `aift` command runs for up, down, status, logs, doctor and token."""

import sys

from services.core.imports import uncollected

if __name__ == "__main__":
    with uncollected():
        from services.core import lifeline
        from services.embedded.command import main
        from services.embedded.down import STOP_WITHIN_S

    # When somebody who must not leave us behind started us, we stop in order as soon as they are gone.
    lifeline.attach(grace_s=STOP_WITHIN_S)
    sys.exit(main(sys.argv[1:]))
