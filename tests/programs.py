"""Programs that some tests talk to. A missing one skips them, and the end of the run says so loudly.

AIFT_TEST_REQUIRE names programs, with spaces between, without which the run shall not even begin.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

MARK = "NOT INSTALLED:"


def find(name: str) -> str | None:
    """Where a program is: on the PATH, or where `go install` puts it."""
    return shutil.which(name) or shutil.which(name, path=str(Path.home() / "go" / "bin"))


def need(name: str) -> str:
    """Where a program is; without it the test is skipped."""
    found = find(name)
    if found is None:
        pytest.skip(f"{MARK} {name}")
    return found


def check_required() -> None:
    """Ends the run when a program of AIFT_TEST_REQUIRE is missing."""
    missing = [name for name in os.environ.get("AIFT_TEST_REQUIRE", "").split() if find(name) is None]
    if missing:
        pytest.exit(f"AIFT_TEST_REQUIRE: {', '.join(missing)} not found", returncode=3)


def summarise(reporter: pytest.TerminalReporter) -> None:
    """Says which tests did not run for want of a program."""
    skipped = [str(report.longrepr) for report in reporter.getreports("skipped")]
    lacking = [reason.partition(MARK)[2].strip(" ')") for reason in skipped if MARK in reason]
    if lacking:
        reporter.section("NOT TESTED", sep="!", red=True, bold=True)
        for name in sorted(set(lacking)):
            reporter.line(f"{lacking.count(name)} test(s) did not run without `{name}`", red=True)
