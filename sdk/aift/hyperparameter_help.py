"""One line of help for each hyperparameter, for the command line and the page."""

from collections.abc import Mapping
from typing import Final

HELP: Final[Mapping[str, tuple[str, str]]] = {
    "method": ("What is trained: full, lora or qlora (lora).", "学習方法: full、lora、qlora(lora)。"),
    "learning_rate": ("Above 0, at most 1 (3e-4).", "学習率。0 より大きく 1 以下(3e-4)。"),
    "num_train_epochs": ("Passes over the rows (3).", "データを繰り返す回数(3)。"),
    "max_steps": ("Optimizer steps; overrides epochs (0).", "最適化ステップ数。指定時はエポック数より優先(0)。"),
    "per_device_train_batch_size": ("Rows a step and device (4).", "1 ステップ・1 デバイスあたりの行数(4)。"),
    "gradient_accumulation_steps": ("Steps added up before the optimizer moves (1).", "勾配を累積するステップ数(1)。"),
    "max_length": (
        "Longest row in tokens; longer ones are cut (512).",
        "1 行の最大トークン数。超えた分は切り捨て(512)。",
    ),
    "lora_r": ("Rank of the adapters (16).", "LoRA のランク(16)。"),
    "lora_alpha": ("Scale of the adapters: alpha / r (32).", "LoRA のスケール: alpha / r(32)。"),
    "lora_dropout": ("0 up to but without 1 (0).", "LoRA のドロップアウト。0 以上 1 未満(0)。"),
    "lora_target_modules": (
        "Layers with adapters, by comma (all linear).",
        "LoRA を付ける層。カンマ区切り(全線形層)。",
    ),
    "use_rslora": ("Rank-stabilised LoRA (no).", "rsLoRA を使う(いいえ)。"),
    "use_dora": ("DoRA (no).", "DoRA を使う(いいえ)。"),
    "lr_scheduler_type": ("linear, cosine or constant (linear).", "学習率の変化: linear、cosine、constant(linear)。"),
    "warmup_ratio": ("Share of steps in which the rate rises (0.03).", "ウォームアップの割合(0.03)。"),
    "weight_decay": ("0 to 1 (0).", "重み減衰。0〜1(0)。"),
    "max_grad_norm": ("Gradients are scaled down to this; 0 never (1).", "勾配クリッピングの上限。0 は無効(1)。"),
    "seed": ("Order of rows, start of the adapters (42).", "乱数シード(42)。"),
    "eval_split": ("Share of rows held out for evaluation (0.05).", "評価用に取り分ける割合(0.05)。"),
    "eval_steps": (
        "Steps between evaluations; 0: before and after (0).",
        "評価の間隔(ステップ)。0 は学習前後のみ(0)。",
    ),
    "save_steps": ("Steps between checkpoints; 0: every ten minutes (0).", "保存の間隔(ステップ)。0 は 10 分ごと(0)。"),
    "logging_steps": ("Steps between metrics (1).", "記録の間隔(ステップ)(1)。"),
    "gradient_checkpointing": ("Less memory, a third more time (no).", "メモリを節約し、時間は約 3 割増(いいえ)。"),
    "packing": ("Several short rows in one sequence (yes).", "短い行をまとめて詰める(はい)。"),
    "dataloader_num_workers": ("Processes that load data (0).", "データ読み込みのプロセス数(0)。"),
    "objective": (
        "What is learnt: sft, pretraining, dpo, orpo or kto (sft).",
        "学習の目的: sft、pretraining(継続事前学習)、dpo、orpo、kto(sft)。",
    ),
    "beta": (
        "dpo, kto: closeness to the model before; orpo: weight of preferences (0.1).",
        "dpo・kto は学習前のモデルへの近さ、orpo は選好の重み(0.1)。",
    ),
    "neftune_noise_alpha": ("Noise on the embeddings, 0 none (0).", "埋め込みに加えるノイズ(NEFTune)。0 はなし(0)。"),
    "early_stopping_patience": (
        "Evaluations without improvement before training ends; 0 never (0).",
        "改善のない評価がこの回数続いたら早期終了。0 は無効(0)。",
    ),
    "load_best_model_at_end": (
        "Keep the weights with the best eval_loss (no).",
        "eval_loss が最良の重みを結果にする(いいえ)。",
    ),
    "warmup_steps": (
        "Steps in which the rate rises; overrides the share (0).",
        "ウォームアップのステップ数。割合より優先(0)。",
    ),
    "deepspeed_stage": (
        "DeepSpeed ZeRO: 1 shares the optimizer, 2 gradients too, 3 weights too; 0 off (0).",
        "DeepSpeed ZeRO。1: オプティマイザ、2: 勾配も、3: 重みも分割。0 は無効(0)。",
    ),
    "offload_optimizer": (
        "none, cpu or nvme: where the optimizer lies under DeepSpeed; nvme needs stage 3 (none).",
        "DeepSpeed でのオプティマイザの置き場所: none、cpu、nvme(stage 3 のみ)(none)。",
    ),
    "offload_param": (
        "none, cpu or nvme: where weights lie under deepspeed_stage 3 (none).",
        "deepspeed_stage 3 での重みの置き場所: none、cpu、nvme(none)。",
    ),
    "optim": (
        "Optimizer: AdamW, 8-bit AdamW, Adafactor or SGD (adamw_torch_fused).",
        "最適化手法: AdamW、8-bit AdamW、Adafactor、SGD(adamw_torch_fused)。",
    ),
    "disk_offload_dir": (
        "Directory that a worker offers for nvme; alone it moves optimizer and weights there (any worker's).",
        "nvme の置き場所となる、ワーカーが提供するディレクトリ。単独の指定でオプティマイザと重みを移動(任意のワーカー)。",
    ),
}
"""Canonical name → English and Japanese, with range and default."""
