"""The dashboard: machines, jobs, quick access."""

from __future__ import annotations

from itertools import islice

import streamlit as st
from aift.training.v1 import training_pb2

from frontend import wording
from frontend.session import localized, problems_shown, say, signed_in_client

_SHOWN_JOBS = 20


def show() -> None:
    """The page."""
    st.title(say("ダッシュボード", "Dashboard"))
    _quick_access()
    _live()


def _quick_access() -> None:
    st.subheader(say("クイックアクセス", "Quick access"))
    left, middle, right = st.columns(3)
    left.page_link("screens/data.py", label=say("データアップロード", "Upload data"), icon=":material/upload:")
    middle.page_link("screens/finetune.py", label=say("ファインチューニング実行", "Fine-tune"), icon=":material/tune:")
    right.page_link("screens/generate.py", label=say("テキスト生成", "Generate text"), icon=":material/chat:")


@st.fragment(run_every=5)
def _live() -> None:
    with problems_shown():
        system = signed_in_client().system()
        st.subheader(say("システム状況", "System"))
        if not system.workers:
            st.warning(
                say(
                    "ワーカーが見つかりません。`aift status` で状態を確認してください。",
                    "No worker was seen lately; `aift status` tells why.",
                )
            )
        for worker in system.workers:
            _worker(worker)
        _jobs()


def _worker(worker: training_pb2.Worker) -> None:
    machine = worker.machine
    with st.container(border=True):
        st.markdown(f"**{worker.name}**")
        cpu, memory, disk = st.columns(3)
        cpu.metric(
            say("CPU使用率", "CPU"),
            f"{machine.cpu_utilization:.0%}",
            f"{machine.cpu_count} cores",
            delta_arrow="off",
            delta_color="off",
        )
        used = machine.memory_used_bytes / max(machine.memory_total_bytes, 1)
        memory.metric(
            say("メモリ使用量", "Memory"),
            f"{used:.0%}",
            f"{wording.size(machine.memory_used_bytes)} / {wording.size(machine.memory_total_bytes)}",
            delta_arrow="off",
            delta_color="off",
        )
        disk.metric(say("空きディスク", "Free disk"), wording.size(machine.disk_free_bytes))
        if machine.HasField("disk_offload"):
            offer = machine.disk_offload
            state = localized(offer.problem) if offer.HasField("problem") else wording.size(offer.free_bytes)
            st.caption(say("ディスクへのオフロード", "Offload to disk") + f": `{offer.directory}` · {state}")
        if not machine.gpus:
            st.caption(say("GPU はありません（CPU で学習します）", "No GPU; training runs on the processor"))
        for gpu in machine.gpus:
            share = gpu.memory_used_bytes / max(gpu.memory_total_bytes, 1)
            text = f"GPU {gpu.index}: {gpu.model} · {gpu.utilization:.0%} · {wording.size(gpu.memory_used_bytes)}"
            st.progress(min(share, 1.0), text=f"{text} / {wording.size(gpu.memory_total_bytes)}")


def _jobs() -> None:
    st.subheader(say("ファインチューニングのジョブ", "Fine-tuning jobs"))
    jobs = list(islice(signed_in_client().training.list(), _SHOWN_JOBS))
    if not jobs:
        st.caption(say("まだジョブはありません。", "There is no job yet."))
        return
    for job in jobs:
        _job(job)


def _job(job: training_pb2.TrainingJob) -> None:
    name, state, progress, model, created = st.columns([3, 2, 2, 4, 2], vertical_alignment="center")
    short = job.name.removeprefix("trainingJobs/")
    name.page_link("screens/job.py", label=job.display_name or short, query_params={"name": short})
    state.write(wording.job_state(job.state))
    done = job.progress.step / job.progress.total_steps if job.progress.total_steps else 0.0
    if job.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
        done = 1.0  # also where training ended early
    progress.progress(min(done, 1.0), text=f"{done:.0%}")
    model.caption(job.model_version or job.spec.model)
    created.caption(wording.when(job.create_time))


show()
