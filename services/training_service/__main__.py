"""python -m services.training_service serve | migrate | worker | agent."""

import sys

from services.core.imports import uncollected


def main() -> int:
    """Starts the process that the first argument names. Workers and agents load none of the service."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb == "worker":
        with uncollected():
            from services.training_service.worker.process import main as worker

        return worker()
    if verb == "agent":
        with uncollected():
            from services.training_service.agent.process import main as agent

        return agent()
    with uncollected():
        from services.core.process import command
        from services.training_service.app import PACKAGE, serve
        from services.training_service.settings import TrainingSettings

    return command(package=PACKAGE, settings=TrainingSettings, serve=serve)


if __name__ == "__main__":
    sys.exit(main())
