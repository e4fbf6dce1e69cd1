"""Processes that cannot start say why, in one line."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = "services.training_service"


def run(verb: str, state_dir: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs a process that is to end by itself."""
    env = {**os.environ, "AIFT_STATE_DIR": str(state_dir), **settings}
    return subprocess.run(
        [sys.executable, "-m", PACKAGE, verb], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_service_without_its_key_names_the_setting(tmp_path: Path) -> None:
    ended = run("serve", tmp_path, AIFT_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", AIFT_LISTEN="127.0.0.1:0")
    assert ended.returncode == 78
    assert "AIFT_ATTEMPT_KEY_FILE" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    ended = run("serve", tmp_path, AIFT_DATABASE_URL="postgresql://secret@127.0.0.1:1/none", AIFT_LEASE_SECONDS="-1")
    assert ended.returncode == 78
    assert "AIFT_LEASE_SECONDS" in ended.stderr
    assert "secret" not in ended.stderr


def test_an_agent_that_cannot_meet_the_other_nodes_names_the_setting(tmp_path: Path) -> None:
    ended = run("agent", tmp_path, AIFT_NODES="2", AIFT_NODE_RANK="1")
    assert ended.returncode == 78
    assert "AIFT_MASTER_PORT" in ended.stderr
    ended = run("agent", tmp_path, AIFT_NODE_RANK="1")
    assert ended.returncode == 78
    assert "AIFT_NODES" in ended.stderr


def test_a_second_worker_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    with (tmp_path / "worker" / "worker.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = run("worker", tmp_path)
    assert ended.returncode == 69
    assert "AIFT_WORKER_DIR" in ended.stderr
