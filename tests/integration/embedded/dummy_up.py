"""`python -m services.embedded` with a real PostgreSQL and dummy services: the mechanics without the weight."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from services.core import lifeline
from services.embedded import command, processes, schemas, session
from services.embedded.probe import HttpReady
from services.embedded.processes import Machine
from services.embedded.spec import ProcessSpec

DUMMY = Path(__file__).parents[2] / "unit" / "embedded" / "dummy_service.py"


def _dummies(machine: Machine) -> Iterable[ProcessSpec]:
    yield from (spec for spec in processes.table(machine) if spec.name == "postgres")
    for stage, name in enumerate(("data", "training", "page"), start=1):
        port = machine.ports[name]
        yield ProcessSpec(
            name=name,
            argv=(sys.executable, str(DUMMY), str(port)),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])},
            ready=HttpReady(f"http://127.0.0.1:{port}/readyz"),
            ports={"http": port},
            stage=stage,
        )


def _dummy_table(machine: Machine) -> tuple[ProcessSpec, ...]:
    return tuple(_dummies(machine))


class _NoMigrations(schemas.Migrations):
    """Dummies have no schemas."""

    async def prepare(self) -> None:
        """Nothing to load."""

    async def run(self) -> None:
        """Nothing to do."""


if __name__ == "__main__":
    session.table = _dummy_table
    schemas.Migrations = _NoMigrations
    lifeline.attach(grace_s=60)
    sys.exit(command.main(sys.argv[1:]))
