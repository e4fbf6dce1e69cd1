"""Words for what trainings are made of, in both languages."""

from __future__ import annotations

from frontend.session import say


def objective(word: str) -> tuple[str, str]:
    """An objective: its name and what it does."""
    return {
        "sft": (say("教師あり学習 (SFT)", "Supervised (SFT)"), say("回答の書き方を学ぶ", "learns to answer")),
        "pretraining": (
            say("継続事前学習", "Continued pretraining"),
            say("文章の続きを学ぶ", "learns to write on in plain text"),
        ),
        "dpo": (
            say("選好学習 (DPO)", "Preferences (DPO)"),
            say("良い回答を選ぶよう学ぶ", "learns to prefer chosen answers"),
        ),
        "orpo": (
            say("選好学習 (ORPO)", "Preferences (ORPO)"),
            say("参照モデルなしの選好学習", "the same without a reference model"),
        ),
        "kto": (
            say("良否学習 (KTO)", "Labels (KTO)"),
            say("良い・悪いの印から学ぶ", "learns from answers marked good or bad"),
        ),
    }.get(word, (word, ""))


def method(word: str) -> str:
    """A method."""
    return {"lora": "LoRA", "qlora": "QLoRA (4-bit)", "full": say("フル", "Full")}.get(word, word)


def group(word: str) -> str:
    """A group of hyperparameters."""
    return {
        "optimisation": say("学習の進め方", "Optimisation"),
        "adapters": say("LoRA アダプター", "LoRA adapters"),
        "evaluation": say("評価", "Evaluation"),
        "memory": say("メモリと速度", "Memory and speed"),
        "records": say("保存と記録", "Checkpoints and records"),
        "other": say("その他", "Other"),
    }.get(word, word)


def field(name: str) -> str:
    """A hyperparameter; the name itself where there is no better word."""
    return {
        "method": say("手法", "Method"),
        "learning_rate": say("学習率", "Learning rate"),
        "num_train_epochs": say("エポック数", "Epochs"),
        "per_device_train_batch_size": say("バッチサイズ", "Batch size"),
        "gradient_accumulation_steps": say("勾配累積", "Gradient accumulation"),
        "max_length": say("最大長（トークン）", "Max length (tokens)"),
        "lora_r": "LoRA Rank",
        "lora_alpha": "LoRA Alpha",
        "eval_split": say("評価用の割合", "Held-out share"),
        "beta": "Beta",
        "max_steps": say("最大ステップ数", "Max steps"),
        "lr_scheduler_type": say("学習率の変化", "Schedule of the learning rate"),
        "warmup_ratio": say("ウォームアップの割合", "Warm-up share"),
        "warmup_steps": say("ウォームアップのステップ数", "Warm-up steps"),
        "weight_decay": say("重み減衰", "Weight decay"),
        "max_grad_norm": say("勾配クリッピング", "Gradient clipping"),
        "neftune_noise_alpha": say("NEFTune ノイズ", "NEFTune noise"),
        "seed": say("乱数シード", "Seed"),
        "lora_dropout": "LoRA Dropout",
        "lora_target_modules": say("LoRA を付ける層", "Layers with adapters"),
        "use_rslora": "rsLoRA",
        "use_dora": "DoRA",
        "eval_steps": say("評価の間隔（ステップ）", "Steps between evaluations"),
        "early_stopping_patience": say("早期終了までの評価回数", "Early stopping patience"),
        "load_best_model_at_end": say("最良の重みを結果にする", "Keep the best weights"),
        "gradient_checkpointing": "Gradient Checkpointing",
        "optim": say("最適化手法", "Optimizer"),
        "deepspeed_stage": say("DeepSpeed ZeRO の段階", "DeepSpeed ZeRO stage"),
        "offload_optimizer": say("オプティマイザの置き場所", "Where the optimizer lies"),
        "offload_param": say("重みの置き場所", "Where the weights lie"),
        "disk_offload_dir": say("オフロード先のディレクトリ", "Directory to offload to"),
        "packing": say("短い行をまとめる", "Pack short rows"),
        "dataloader_num_workers": say("データ読み込みのプロセス数", "Processes that load data"),
        "save_steps": say("保存の間隔（ステップ）", "Steps between checkpoints"),
        "logging_steps": say("記録の間隔（ステップ）", "Steps between metrics"),
    }.get(name, name)


def field_help(name: str) -> str:
    """The manual's advice where it has any; else ""."""
    return {
        "lora_r": say("16が標準。8は軽量・高速、32は高精度・重い。", "16 is usual; 8 is lighter, 32 learns more."),
        "per_device_train_batch_size": say("8GBのGPUでは4が目安。", "4 suits a GPU of 8 GB."),
        "learning_rate": say("0.0003が標準。", "0.0003 is usual."),
        "num_train_epochs": say("3が標準。", "3 is usual."),
    }.get(name, "")


def memory_part(word: str) -> str:
    """A part of a training's memory."""
    return {
        "weights": say("重み", "weights"),
        "adapters": say("アダプター", "adapters"),
        "gradients": say("勾配", "gradients"),
        "optimizer": say("オプティマイザー", "optimizer"),
        "activations": say("活性", "activations"),
        "logits": say("ロジット", "logits"),
        "overhead": say("その他", "overhead"),
    }.get(word, word)


def measured(name: str) -> str:
    """A metric of a step, as a chart's title."""
    return {
        "loss": say("損失", "Loss"),
        "eval_loss": say("評価損失", "Held-out loss"),
        "learning_rate": say("学習率", "Learning rate"),
        "grad_norm": say("勾配ノルム", "Gradient norm"),
        "tokens_per_second": say("トークン/秒", "Tokens/s"),
        "memory_bytes": say("メモリ (GiB)", "Memory (GiB)"),
        "gpu_utilization": say("GPU 使用率 (%)", "GPU use (%)"),
        "gpu_memory_used_bytes": say("GPU メモリ (GiB)", "GPU memory (GiB)"),
        "reward_accuracy": say("報酬の正解率", "Reward accuracy"),
        "reward_margin": say("報酬の差", "Reward margin"),
        "eval_reward_accuracy": say("報酬の正解率（評価）", "Reward accuracy, held out"),
        "eval_reward_margin": say("報酬の差（評価）", "Reward margin, held out"),
        "eval_perplexity": say("パープレキシティ", "Perplexity"),
        "eval_bits_per_character": say("ビット/文字", "Bits per character"),
        "data_wait_share": say("データ待ちの割合", "Share of time waiting for data"),
        "step_seconds": say("1 ステップの秒数", "Seconds a step"),
    }.get(name, name)
