"""What can go wrong with models."""

from __future__ import annotations

from services.core.errors import DomainError


class UnsafeModelFile(DomainError):
    """Weights in a format that can run code when it is loaded."""

    reason = "UNSAFE_MODEL_FILE"
    status = "FAILED_PRECONDITION"
    en = (
        "{file} is a pickle, which can run code when it is loaded. Save the weights as safetensors: "
        "model.save_pretrained(folder, safe_serialization=True)"
    )
    ja = (
        "{file} は pickle 形式で、読み込み時にコードが実行されるおそれがあります。safetensors で保存し直してください: "
        "model.save_pretrained(folder, safe_serialization=True)"
    )


class ModelNeedsCode(DomainError):
    """The model's configuration names Python code of its own."""

    reason = "MODEL_NEEDS_CODE"
    status = "FAILED_PRECONDITION"
    en = "{file} has auto_map: the model runs code of its own, which is never done here. Choose a model without it."
    ja = (
        "{file} に auto_map があります。独自コードの実行が必要なモデルは使用できません。"
        "auto_map のないモデルを選んでください。"
    )


class UnsupportedArchitecture(DomainError):
    """A model that the trainer and the engines do not know."""

    reason = "UNSUPPORTED_ARCHITECTURE"
    status = "FAILED_PRECONDITION"
    en = "The architecture {architecture} is not supported. Supported: {supported}."
    ja = "アーキテクチャ {architecture} には対応していません。対応: {supported}。"


class ModelAlreadyQuantized(DomainError):
    """Weights that were quantised before."""

    reason = "MODEL_ALREADY_QUANTIZED"
    status = "FAILED_PRECONDITION"
    en = "The weights are quantised ({format}). Import the original model; QLoRA quantises it while training."
    ja = "重みが量子化済みです ({format})。元のモデルを取り込んでください。QLoRA では学習時に量子化されます。"


class ConfigMissing(DomainError):
    """There is no config.json."""

    reason = "MODEL_CONFIG_MISSING"
    status = "FAILED_PRECONDITION"
    en = "config.json is missing. Import the whole folder that save_pretrained wrote."
    ja = "config.json がありません。save_pretrained が書き出したフォルダ全体を取り込んでください。"


class WeightsMissing(DomainError):
    """There are no safetensors that transformers would load."""

    reason = "MODEL_WEIGHTS_MISSING"
    status = "FAILED_PRECONDITION"
    en = "The model has no weights as safetensors (model.safetensors, or shards with model.safetensors.index.json)."
    ja = (
        "safetensors 形式の重みがありません "
        "(model.safetensors、または model.safetensors.index.json と分割ファイルが必要です)。"
    )


class TokenizerMissing(DomainError):
    """There are no files of a tokenizer."""

    reason = "TOKENIZER_MISSING"
    status = "FAILED_PRECONDITION"
    en = "The tokenizer is missing: tokenizer.json, tokenizer.model, or vocab.json with merges.txt is needed."
    ja = "トークナイザーがありません。tokenizer.json、tokenizer.model、または vocab.json と merges.txt が必要です。"


class ModelFileInvalid(DomainError):
    """A file is not what its name says."""

    reason = "MODEL_FILE_INVALID"
    status = "FAILED_PRECONDITION"
    en = "{file} is not valid: {detail_en}"
    ja = "{file} が正しくありません: {detail_ja}"

    def __init__(self, file: str, en: str, ja: str) -> None:
        super().__init__(file=file, detail_en=en, detail_ja=ja)


class FilesNotOfKind(DomainError):
    """The files are not those of the kind that they are said to be."""

    reason = "FILES_NOT_OF_KIND"
    status = "FAILED_PRECONDITION"
    en = "A version of kind {kind} needs {file}, which is not among the files."
    ja = "種類 {kind} のバージョンには {file} が必要ですが、ファイルに含まれていません。"


class AdapterBaseMismatch(DomainError):
    """An adapter that was not made for the base model named."""

    reason = "ADAPTER_BASE_MISMATCH"
    status = "FAILED_PRECONDITION"
    en = "The adapter does not belong to {base_model}: {what} is {found}, the base model has {expected}."
    ja = "アダプターは {base_model} のものではありません: {what} は {found}、ベースモデルは {expected} です。"


class BaseModelNotReady(DomainError):
    """The base model is still being imported, or its import failed."""

    reason = "BASE_MODEL_NOT_READY"
    status = "FAILED_PRECONDITION"
    en = "{base_model} is {state}, not READY. See GetBaseModel for its progress or failure."
    ja = "{base_model} の状態は {state} で、READY ではありません。進行状況や失敗の理由は GetBaseModel で確認してください。"


class BaseModelChanged(DomainError):
    """The base model that a version was trained on has been replaced."""

    reason = "BASE_MODEL_CHANGED"
    status = "FAILED_PRECONDITION"
    en = "{base_model} now has digest {actual}; the version was trained on {expected}."
    ja = "{base_model} のダイジェストは現在 {actual} ですが、学習時は {expected} でした。"


class BaseModelInUse(DomainError):
    """Versions stand on the base model."""

    reason = "BASE_MODEL_IN_USE"
    status = "FAILED_PRECONDITION"
    en = "{base_model} is used by {count} version(s): {versions}. Delete them first."
    ja = "{base_model} は {count} 件のバージョンで使用されています: {versions}。先に削除してください。"


class VersionHasAliases(DomainError):
    """Aliases point to the version."""

    reason = "VERSION_HAS_ALIASES"
    status = "FAILED_PRECONDITION"
    en = "{version} has the alias(es) {aliases}. Move or delete them first."
    ja = "{version} にはエイリアス {aliases} が付いています。先に移動または削除してください。"


class NoVersionYet(DomainError):
    """The model has no versions."""

    reason = "NO_VERSION_YET"
    status = "NOT_FOUND"
    en = "{model} has no version. Train or import one."
    ja = "{model} にはバージョンがありません。学習するか取り込んでください。"


class DeletedIdInUse(DomainError):
    """The id belonged to something that was deleted less than seven days ago."""

    reason = "DELETED_ID_IN_USE"
    status = "ALREADY_EXISTS"
    en = "{resource} was deleted; its id is free again at {free_at}. Choose another id."
    ja = "{resource} は削除されました。この ID は {free_at} 以降に再び使えます。別の ID を指定してください。"


class LineageTooLarge(DomainError):
    """More was made from a resource than one answer holds."""

    reason = "LINEAGE_TOO_LARGE"
    status = "RESOURCE_EXHAUSTED"
    en = (
        "The lineage of {resource} has more than {limit} steps. Ask for a resource that is nearer to what you look for."
    )
    ja = "{resource} の来歴は {limit} 件を超えています。目的に近いリソースを指定してください。"


class InsufficientDisk(DomainError):
    """The model would not fit."""

    reason = "INSUFFICIENT_DISK"
    status = "RESOURCE_EXHAUSTED"
    en = "The import needs {needed} of disk on the server, {free} are free. Make room there and import again."
    ja = (
        "取り込みにはサーバーに {needed} の空き容量が必要ですが、{free} しかありません。"
        "空きを作ってからもう一度取り込んでください。"
    )


class ImportInterrupted(DomainError):
    """An import that was begun again and again without getting to its end."""

    reason = "IMPORT_INTERRUPTED"
    status = "ABORTED"
    en = "The import was interrupted {attempts} times, last by: {cause}. Import it again."
    ja = "取り込みが {attempts} 回中断されました (最後の原因: {cause})。もう一度取り込んでください。"
