"""What can go wrong when text is asked for."""

from __future__ import annotations

from services.core.errors import DomainError


class PromptTooLong(DomainError):
    """The prompt and the room for the completion exceed the model's context."""

    reason = "PROMPT_TOO_LONG"
    status = "OUT_OF_RANGE"
    en = (
        "The prompt has {prompt_tokens} tokens and max_new_tokens is {max_new_tokens}, but the model's context holds "
        "{context_tokens}. Shorten the prompt or lower max_new_tokens."
    )
    ja = (
        "プロンプトは {prompt_tokens} トークン、max_new_tokens は {max_new_tokens} ですが、モデルの文脈長は "
        "{context_tokens} トークンです。プロンプトを短くするか max_new_tokens を下げてください。"
    )


class TemplateUnusable(DomainError):
    """The model's template cannot render this prompt."""

    reason = "TEMPLATE_UNUSABLE"
    status = "FAILED_PRECONDITION"
    en = "The model's template cannot render the prompt: {detail}. Send it with raw set to true."
    ja = "モデルのテンプレートでプロンプトを組み立てられません: {detail}。raw を true にして送ってください。"


class QueueFull(DomainError):
    """Too many requests wait already."""

    reason = "QUEUE_FULL"
    status = "RESOURCE_EXHAUSTED"
    en = "{active} requests wait or run already, as many as are allowed. Try again shortly."
    ja = "すでに {active} 件の要求が待機中または実行中で、上限に達しています。しばらくしてから再試行してください。"


class ModelNotLoadable(DomainError):
    """The files are there, but the engine cannot load them."""

    reason = "MODEL_NOT_LOADABLE"
    status = "FAILED_PRECONDITION"
    en = "The model cannot be loaded: {detail}"
    ja = "モデルを読み込めません: {detail}"


class GpusBusy(DomainError):
    """Every GPU of this machine is held by training, or by another program that uses our locks."""

    reason = "GPUS_BUSY"
    status = "UNAVAILABLE"
    en = "All GPUs of this machine are in use ({gpus}), such as by training. Try again when one is free."
    ja = "このマシンの GPU はすべて使用中です（{gpus}）。学習などが終わってから再試行してください。"


class ModelNotReady(DomainError):
    """The model is registered, but its import has not finished or failed."""

    reason = "MODEL_NOT_READY"
    status = "FAILED_PRECONDITION"
    en = "{model} is not ready: its import has not finished or has failed. See GetBaseModel."
    ja = "{model} は使用できません。取り込みが終わっていないか失敗しています。GetBaseModel で確認してください。"


class EngineLost(DomainError):
    """The engine process died; it is started again by the next request."""

    reason = "ENGINE_LOST"
    status = "UNAVAILABLE"
    en = "The engine process ended while it worked on the request. Send the request again; the model is loaded anew."
    ja = "処理中に推論エンジンのプロセスが終了しました。もう一度送信してください。モデルは自動的に再読み込みされます。"


class ModelFilesDamaged(DomainError):
    """The bytes that arrived are not those of the manifest."""

    reason = "MODEL_FILES_DAMAGED"
    status = "DATA_LOSS"
    en = "The files of {model} do not have the digests of its manifest: {detail}. Import or train the model again."
    ja = "{model} のファイルがマニフェストのダイジェストと一致しません: {detail}。モデルを取り込み直すか学習し直してください。"


class ModelNotLoaded(DomainError):
    """UnloadModel names a model that is not in memory."""

    reason = "MODEL_NOT_LOADED"
    status = "NOT_FOUND"
    en = "{model} is not in memory; see ListLoadedModels."
    ja = "{model} は読み込まれていません。ListLoadedModels で確認してください。"
