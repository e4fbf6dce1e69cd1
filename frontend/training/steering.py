"""What can be done with a job: pause, resume, cancel, run it again with changes."""

from __future__ import annotations

import streamlit as st
from aift.jobs import ENDED
from aift.training.v1 import training_pb2

from frontend.session import problems_shown, say, signed_in_client

_PAUSED = training_pb2.TRAINING_JOB_STATE_PAUSED
_PAUSABLE = (
    training_pb2.TRAINING_JOB_STATE_QUEUED,
    training_pb2.TRAINING_JOB_STATE_PROVISIONING,
    training_pb2.TRAINING_JOB_STATE_RUNNING,
)
_CANCELLABLE = (*_PAUSABLE, _PAUSED, training_pb2.TRAINING_JOB_STATE_PAUSING)


def show_steering(job: training_pb2.TrainingJob) -> None:
    """The buttons that fit the job's state."""
    with st.container(horizontal=True, vertical_alignment="center"), problems_shown():
        _again(job)
        training = signed_in_client().training
        if job.state == _PAUSED:
            if st.button(say("再開", "Resume"), icon=":material/play_arrow:"):
                training.resume(job.name)
                st.rerun()
        elif job.state not in ENDED and st.button(
            say("一時停止", "Pause"), icon=":material/pause:", disabled=job.state not in _PAUSABLE
        ):
            training.pause(job.name)
            st.rerun()
        if job.state not in ENDED:
            with st.popover(say("取り消す", "Cancel"), icon=":material/stop:", disabled=job.state not in _CANCELLABLE):
                st.write(say("モデルを作らずに終了します。", "It ends without a model."))
                if st.button(say("ジョブを取り消す", "Cancel the job"), type="primary"):
                    training.cancel(job.name)
                    st.rerun()


def _again(job: training_pb2.TrainingJob) -> None:
    st.page_link(
        "screens/finetune.py",
        label=say("設定を変えて再実行", "Run again with changes"),
        icon=":material/replay:",
        query_params={"job": job.name.removeprefix("trainingJobs/")},
    )
