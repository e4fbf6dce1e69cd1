"""What can go wrong between us and the Hugging Face Hub. `kind` is the importer's word for each."""

from __future__ import annotations

from services.core.errors import DomainError


class HubModelNotFound(DomainError):
    """No such model, or a private one."""

    reason = "HUB_MODEL_NOT_FOUND"
    status = "NOT_FOUND"
    en = (
        "{hub_id} is not on the Hugging Face Hub, or is private. Check the id; "
        "for a private model an administrator sets AIFT_HUB_TOKEN."
    )
    ja = (
        "{hub_id} は Hugging Face Hub にないか、非公開です。ID を確認してください。"
        "非公開モデルには管理者が AIFT_HUB_TOKEN を設定する必要があります。"
    )


class HubRevisionNotFound(DomainError):
    """The model has no such branch, tag or commit."""

    reason = "HUB_REVISION_NOT_FOUND"
    status = "NOT_FOUND"
    en = "{hub_id} has no revision {revision} on the Hugging Face Hub."
    ja = "Hugging Face Hub の {hub_id} にリビジョン {revision} はありません。"


class HubModelGated(DomainError):
    """The model's terms must be accepted first."""

    reason = "HUB_MODEL_GATED"
    status = "FAILED_PRECONDITION"
    en = (
        "{hub_id} is gated. Accept its terms at https://huggingface.co/{hub_id} and have an administrator set "
        "AIFT_HUB_TOKEN to a token of that account."
    )
    ja = (
        "{hub_id} は利用規約への同意が必要です。https://huggingface.co/{hub_id} で同意し、"
        "そのアカウントのトークンを管理者が AIFT_HUB_TOKEN に設定してください。"
    )


class HubTokenRefused(DomainError):
    """The Hub does not accept our token."""

    reason = "HUB_TOKEN_REFUSED"
    status = "FAILED_PRECONDITION"
    en = "The Hugging Face Hub refuses the server's token for {hub_id}. An administrator must renew AIFT_HUB_TOKEN."
    ja = (
        "Hugging Face Hub が {hub_id} に対するサーバーのトークンを拒否しました。"
        "管理者が AIFT_HUB_TOKEN を更新する必要があります。"
    )


class HubUnreachable(DomainError):
    """The Hub does not answer: no network, a proxy, or a fault of the Hub."""

    reason = "HUB_UNREACHABLE"
    status = "UNAVAILABLE"
    en = (
        "The Hugging Face Hub cannot be reached ({detail}). Check network and proxy and import again, "
        "or download the model elsewhere and import its folder."
    )
    ja = (
        "Hugging Face Hub に接続できません ({detail})。ネットワークとプロキシを確認してもう一度取り込むか、"
        "別の環境でダウンロードしたフォルダを取り込んでください。"
    )


class HubBusy(DomainError):
    """The Hub limits our requests."""

    reason = "HUB_BUSY"
    status = "UNAVAILABLE"
    en = "The Hugging Face Hub limits our requests at the moment. Import {hub_id} again in some minutes."
    ja = "Hugging Face Hub のリクエスト制限に達しました。数分後に {hub_id} をもう一度取り込んでください。"


BY_KIND: dict[str, type[DomainError]] = {
    "missing": HubModelNotFound,
    "revision": HubRevisionNotFound,
    "gated": HubModelGated,
    "token": HubTokenRefused,
    "busy": HubBusy,
    "unreachable": HubUnreachable,
}
