"""Fine-tuning: data, model, method, plan, start."""

from __future__ import annotations

import streamlit as st
from aift import Client
from aift.hyperparameters import as_settings, hyperparameters
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2
from google.protobuf.json_format import MessageToDict

from frontend import wording
from frontend.presets import PRESETS
from frontend.session import localized, problems_shown, say, signed_in_client

_DEFAULTS: dict[str, object] = {
    "method": "lora",
    "learning_rate": 3e-4,
    "num_train_epochs": 3.0,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_length": 512,
    "lora_r": 16,
    "lora_alpha": 32.0,
    "gradient_checkpointing": False,
    "packing": True,
    "eval_split": 0.05,
    "seed": 42,
}


def show() -> None:
    """The page."""
    st.title(say("ファインチューニング", "Fine-tuning"))
    with problems_shown():
        client = signed_in_client()
        data = _data(client)
        base = _base_model(client)
        if data and base:
            settings = _settings(base)
            _plan_and_start(client, data, base, settings)


def _data(client: Client) -> str:
    st.subheader(say("1. データ", "1. Data"))
    versions = [dataset.latest_version for dataset in client.datasets.list() if dataset.latest_version]
    asked = st.query_params.get("data", "")
    if asked and asked not in versions:
        versions.insert(0, asked)
    if not versions:
        st.page_link(
            "screens/data.py",
            label=say("まずデータをアップロードしてください。", "Upload data first."),
            icon=":material/upload:",
        )
        return ""
    index = versions.index(asked) if asked in versions else 0
    chosen = st.selectbox(say("トレーニングデータ", "Training data"), versions, index=index)
    st.query_params["data"] = chosen
    preview = client.datasets.preview(chosen, limit=3)
    st.dataframe(
        [{"prompt": row.prompt, "completion": row.completion} for row in preview.rows], hide_index=True, height=142
    )
    return str(chosen)


def _base_model(client: Client) -> registry_pb2.BaseModel | None:
    st.subheader(say("2. ベースモデル", "2. Base model"))
    bases = [b for b in client.base_models.list() if b.state == registry_pb2.BASE_MODEL_STATE_READY]
    if not bases:
        st.page_link(
            "screens/models.py",
            label=say("まずベースモデルを取り込んでください。", "Import a base model first."),
            icon=":material/inventory_2:",
        )
        st.code("aift base-models import samples/models/tiny-ja", language="bash")
        return None
    names = [base.name for base in bases]
    asked = st.query_params.get("base", "")
    chosen = st.selectbox(
        say("ベースモデル", "Base model"),
        names,
        index=names.index(asked) if asked in names else 0,
        format_func=lambda name: _described(bases[names.index(name)]),
    )
    st.query_params["base"] = chosen
    return bases[names.index(chosen)]


def _described(base: registry_pb2.BaseModel) -> str:
    parameters = base.shape.parameters
    count = f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.1f}M"
    return f"{base.display_name or base.name} · {count} · {base.licence or say('ライセンス不明', 'licence unknown')}"


def _settings(base: registry_pb2.BaseModel) -> dict[str, object]:
    st.subheader(say("3. 学習設定", "3. Settings"))
    start = _starting_point(base)
    left, middle, right = st.columns(3)
    chosen: dict[str, object] = {}
    methods = ["lora", "qlora", "full"]
    chosen["method"] = left.selectbox(
        say("手法", "Method"),
        methods,
        index=methods.index(str(start["method"])),
        format_func=_method_label,
    )
    if chosen["method"] != "full":
        chosen["lora_r"] = left.number_input(
            "LoRA Rank",
            1,
            1024,
            int(str(start["lora_r"])),
            help=say("16が標準。8は軽量・高速、32は高精度・重い。", "16 is usual; 8 is lighter, 32 learns more."),
        )
        chosen["lora_alpha"] = left.number_input("LoRA Alpha", 1.0, 4096.0, float(str(start["lora_alpha"])))
    chosen["learning_rate"] = middle.number_input(
        say("学習率", "Learning rate"), 1e-7, 1.0, float(str(start["learning_rate"])), format="%.6f", step=1e-5
    )
    chosen["per_device_train_batch_size"] = middle.number_input(
        say("バッチサイズ", "Batch size"),
        1,
        4096,
        int(str(start["per_device_train_batch_size"])),
        help=say("8GBのGPUでは4が目安。", "4 suits a GPU of 8 GB."),
    )
    chosen["num_train_epochs"] = middle.number_input(
        say("エポック数", "Epochs"),
        0.01,
        1000.0,
        float(str(start["num_train_epochs"])),
        help=say("3が標準。", "3 is usual."),
    )
    chosen["gradient_accumulation_steps"] = right.number_input(
        say("勾配累積", "Gradient accumulation"), 1, 4096, int(str(start["gradient_accumulation_steps"]))
    )
    chosen["max_length"] = right.number_input(
        say("最大長（トークン）", "Max length (tokens)"), 8, 1048576, int(str(start["max_length"]))
    )
    chosen["eval_split"] = right.number_input(
        say("評価用の割合", "Held-out share"), 0.0, 0.5, float(str(start["eval_split"])), step=0.01
    )
    with st.expander(say("詳細", "More")):
        chosen["gradient_checkpointing"] = st.checkbox(
            "Gradient Checkpointing",
            bool(start["gradient_checkpointing"]),
            help=say("メモリを減らし、時間が約3割増えます。", "Less memory, about a third more time."),
        )
        chosen["packing"] = st.checkbox(
            say("短い行をまとめる", "Pack short rows"), bool(start["packing"]), help="packing"
        )
        chosen["seed"] = st.number_input("Seed", 0, 2**32 - 1, int(str(start["seed"])))
    return chosen


def _method_label(method: str) -> str:
    return {"lora": "LoRA", "qlora": "QLoRA (4-bit)"}.get(method) or say("フル", "Full")


def _starting_point(base: registry_pb2.BaseModel) -> dict[str, object]:
    """The settings that the fields begin with: the manual's, those of the model's card, or a preset."""
    recommended = as_settings(hyperparameters(MessageToDict(base.recommended)))
    card = say("モデルカードの推奨値", "The model card's")
    usual = say("標準", "Usual")
    options = ([card] if recommended else []) + [usual, *(preset.label for preset in PRESETS)]
    chosen = st.radio(
        say("プリセット（GPUメモリ別）", "Preset (by GPU memory)"),
        options,
        horizontal=True,
        help=" · ".join(f"{preset.label}: {preset.base_model}" for preset in PRESETS),
    )
    over = {preset.label: preset.settings for preset in PRESETS} | {card: recommended, usual: {}}
    known = {name: value for name, value in over[str(chosen)].items() if name in _DEFAULTS}
    return _DEFAULTS | known


def _plan_and_start(client: Client, data: str, base: registry_pb2.BaseModel, settings: dict[str, object]) -> None:
    st.subheader(say("4. 確認と開始", "4. Check and start"))
    model = st.text_input(
        say("モデル名（ID）", "Model id"), help=say("空なら手法と日時から決めます。", "Empty: from method and time.")
    )
    prompts = st.text_area(
        say("学習中に試すプロンプト（1行に1つ）", "Prompts to try while training, one a line"), height=68
    )
    samples = [line for line in prompts.splitlines() if line.strip()]
    spec = client.training.spec(
        base.name, data, settings, model=f"models/{model}" if model else "", sample_prompts=samples
    )
    plan = client.training.plan(spec)
    _show_plan(plan)
    if st.button(say("ファインチューニング開始", "Start fine-tuning"), type="primary", icon=":material/play_arrow:"):
        job = client.training.create(spec)
        st.switch_page("screens/job.py", query_params={"name": job.name.removeprefix("trainingJobs/")})


def _show_plan(plan: training_pb2.TrainingPlan) -> None:
    trained, steps, batch, memory = st.columns(4)
    share = plan.trainable_parameters / max(plan.parameters, 1)
    trained.metric(
        say("学習するパラメータ", "Trained parameters"),
        f"{plan.trainable_parameters:,}",
        f"{share:.2%}",
        delta_arrow="off",
        delta_color="off",
    )
    steps.metric(
        say("ステップ数", "Steps"), f"{plan.steps:,}", f"{plan.train_rows:,} rows", delta_arrow="off", delta_color="off"
    )
    batch.metric(say("実効バッチサイズ", "Effective batch"), f"{plan.effective_batch_size:,}")
    memory.metric(say("メモリ見積り（1台あたり）", "Memory per device"), wording.size(plan.memory_bytes))
    parts = [{"part": part.part, "GiB": part.size_bytes / 2**30} for part in plan.memory]
    if parts:
        st.bar_chart(parts, x="part", y="GiB", horizontal=True, height=200)
    for fit in plan.fits:
        text = f"{fit.worker}: {wording.size(fit.available_bytes)}"
        (st.success if fit.fits else st.error)(
            f"{text} · {say('収まります', 'fits') if fit.fits else say('収まりません', 'does not fit')}"
        )
    for note in plan.notes:
        st.info(localized(note))


show()
