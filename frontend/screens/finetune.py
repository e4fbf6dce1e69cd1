"""Fine-tuning: objective and data, model, settings, plan, start."""

from __future__ import annotations

import streamlit as st
from aift import AiftError, Client
from aift.data.v1 import data_pb2
from aift.training.v1 import training_pb2

from frontend.session import problems_shown, say, signed_in_client
from frontend.training.draft import Draft
from frontend.training.objective import choose_objective
from frontend.training.places import Places
from frontend.training.plan import show_plan, show_remedies
from frontend.training.rows import choose_held_out, choose_rows, linked_version
from frontend.training.settings import show_settings
from frontend.training.start import Start, choose_start


def show() -> None:
    """The page. The address keeps what is filled in; ?job= fills in what a job was made from."""
    st.title(say("ファインチューニング", "Fine-tuning"))
    draft, places = Draft(), Places()
    with problems_shown():
        client = signed_in_client()
        _take_job(client, draft)
        st.subheader(say("1. データ", "1. Data"))
        objective = choose_objective(draft, _asked(client, draft))
        places.make("objective")
        data = choose_rows(client, draft, objective, places)
        st.subheader(say("2. モデル", "2. Model"))
        start = choose_start(client, draft, places)
        if data and start:
            st.subheader(say("3. 学習設定", "3. Settings"))
            settings = show_settings(draft, places, start, objective)
            _check_and_start(client, draft, places, data, start, settings)
    draft.to_address()


def _take_job(client: Client, draft: Draft) -> None:
    job = st.query_params.pop("job", "")
    if job:
        draft.take(client.training.get(job))


def _asked(client: Client, draft: Draft) -> data_pb2.DatasetVersion | None:
    """The data that a link brought, while nobody has chosen an objective yet."""
    if draft.get("objective") is not None or not draft.text("data"):
        return None
    return linked_version(client, draft.text("data"))


def _check_and_start(
    client: Client, draft: Draft, places: Places, data: str, start: Start, settings: dict[str, object]
) -> None:
    st.subheader(say("4. 確認と開始", "4. Check and start"))
    _result(draft, places)
    with st.expander(say("評価用データ・プロセス数・優先度", "Held-out data, processes, priority")):
        held_out = choose_held_out(client, draft, str(settings["objective"]), places)
        _running(draft, places)
    try:
        spec = client.training.spec(
            "" if start.version else start.base.name,
            data,
            settings,
            eval_dataset_version=held_out,
            model=f"models/{draft.text('model')}" if draft.text("model") else "",
            sample_prompts=[line for line in draft.text("prompts").splitlines() if line.strip()],
            processes=_whole(draft, "processes"),
            start_from=start.version.name if start.version else "",
        )
        _show_plan(client, draft, places, spec)
        begin = st.button(
            say("ファインチューニング開始", "Start fine-tuning"), type="primary", icon=":material/play_arrow:"
        )
        if begin:
            _begin(client, draft, spec)
        else:
            draft.not_clicked()
    except AiftError as error:
        places.show(error)


def _result(draft: Draft, places: Places) -> None:
    left, right = st.columns(2)
    with left:
        model = st.text_input(
            say("モデル名（ID）", "Model id"),
            key=draft.bind("model", ""),
            help=say("空なら手法と日時から決めます。", "Empty: from method and time."),
        )
        places.make("model")
        draft.keep("model", model)
        name = st.text_input(say("ジョブの表示名", "Name of the job"), key=draft.bind("display_name", ""))
        places.make("display_name")
        draft.keep("display_name", name)
    with right:
        prompts = st.text_area(
            say("学習中に試すプロンプト（1行に1つ）", "Prompts to try while training, one a line"),
            key=draft.bind("prompts", ""),
            height=122,
        )
        places.make("sample_prompts")
        draft.keep("prompts", prompts)


def _running(draft: Draft, places: Places) -> None:
    left, right = st.columns(2)
    fields = {
        "processes": (
            left,
            say("プロセス数", "Processes"),
            say("0 は GPU ごとに 1 つ。", "0: one for each GPU."),
        ),
        "priority": (
            right,
            say("優先度", "Priority"),
            say("1〜100。大きいほど先に始まります。0 は 50。", "1 to 100, higher ones go first; 0 means 50."),
        ),
    }
    for name, (column, label, meaning) in fields.items():
        value = column.number_input(label, min_value=0, value=None, step=1, key=draft.bind(name, 0), help=meaning)
        with column:
            places.make(name)
        draft.keep(name, value)


def _show_plan(client: Client, draft: Draft, places: Places, spec: training_pb2.TrainingSpec) -> None:
    gpu = st.text_input(
        say("見積りに使う GPU", "Plan for this GPU"),
        key=draft.bind("gpu", ""),
        placeholder=say("今あるワーカー。例: 2xA5000、RTX 4090、4x24GB", "the workers that there are; 2xA5000, 4x24GB"),
        help=say(
            "手元にない GPU でも、収まるかどうかを計算できます。開始するジョブには影響しません。",
            "Also for GPUs that are not there. It does not change the job.",
        ),
    ).strip()
    places.make("gpu_model")
    draft.keep("gpu", gpu)
    try:
        plan = client.training.plan(spec, gpu=gpu)
    except AiftError as error:
        # Starting says the same again where the spec is wrong, and goes on where only the plan is.
        places.show(error)
        return
    show_plan(plan)
    show_remedies(draft, plan)


def _begin(client: Client, draft: Draft, spec: training_pb2.TrainingSpec) -> None:
    name, priority = draft.text("display_name"), _whole(draft, "priority")
    intent = draft.intent(f"{spec.SerializeToString(deterministic=True).hex()} {name} {priority}")
    job = client.training.create(spec, display_name=name, priority=priority, intent=intent)
    draft.succeeded()
    st.switch_page("screens/job.py", query_params={"name": job.name.removeprefix("trainingJobs/")})


def _whole(draft: Draft, name: str) -> int:
    value = draft.get(name)
    return value if isinstance(value, int) else 0


show()
