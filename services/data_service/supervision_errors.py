"""Why rows cannot be rendered with a base model's tokenizer and template, in the words of services/text."""

from __future__ import annotations

from services.core.errors import DomainError
from services.data_service.supervision.protocol import Trouble


class TemplateNotMarked(DomainError):
    """Answers cannot be told apart in the model's chat template."""

    reason = "TEMPLATE_NOT_MARKED"
    status = "FAILED_PRECONDITION"
    en = "{base_model}: {detail_en}."
    ja = "{base_model}: {detail_ja}。"


class TemplateRefusedRow(DomainError):
    """The chat template refuses a plain exchange of question and answer."""

    reason = "TEMPLATE_REFUSED_ROW"
    status = "FAILED_PRECONDITION"
    en = "{base_model}: {detail_en}."
    ja = "{base_model}: {detail_ja}。"


class SystemMessageDropped(DomainError):
    """The chat template shows no system message, and the row has one."""

    reason = "SYSTEM_MESSAGE_DROPPED"
    status = "FAILED_PRECONDITION"
    en = "{base_model}: {detail_en}."
    ja = "{base_model}: {detail_ja}。"


class ToolTurnDropped(DomainError):
    """The chat template shows no turns of tools, and the row has some."""

    reason = "TOOL_TURN_DROPPED"
    status = "FAILED_PRECONDITION"
    en = "{base_model}: {detail_en}."
    ja = "{base_model}: {detail_ja}。"


class NoStopToken(DomainError):
    """The tokenizer has no token that could end an answer."""

    reason = "NO_STOP_TOKEN"
    status = "FAILED_PRECONDITION"
    en = "{base_model}: {detail_en}."
    ja = "{base_model}: {detail_ja}。"


class TokenizerWithoutOffsets(DomainError):
    """The tokenizer is not a fast one."""

    reason = "TOKENIZER_WITHOUT_OFFSETS"
    status = "FAILED_PRECONDITION"
    en = "{base_model}: {detail_en}."
    ja = "{base_model}: {detail_ja}。"


class TokenizerUnreadable(DomainError):
    """The tokenizer's files are missing or broken."""

    reason = "TOKENIZER_UNREADABLE"
    status = "FAILED_PRECONDITION"
    en = "{base_model}: {detail_en}."
    ja = "{base_model}: {detail_ja}。"


class RowNotRendered(DomainError):
    """A row does not fit the objective or the template. Becomes a job's failure."""

    reason = "ROW_NOT_RENDERED"
    status = "FAILED_PRECONDITION"
    en = "{base_model}: {detail_en}."
    ja = "{base_model}: {detail_ja}。"


class BaseModelGone(DomainError):
    """The base model was deleted, or its import failed, while the job waited. Becomes a job's failure."""

    reason = "BASE_MODEL_GONE"
    status = "FAILED_PRECONDITION"
    en = "{base_model} is not there any more. Import it again, or count with another one."
    ja = "{base_model} がなくなりました。取り込み直すか、別のベースモデルで数えてください。"

    def __init__(self, base_model: str) -> None:
        super().__init__(base_model=base_model)


_BY_REASON: dict[str, type[DomainError]] = {
    kind.reason: kind
    for kind in (
        TemplateNotMarked,
        TemplateRefusedRow,
        SystemMessageDropped,
        ToolTurnDropped,
        NoStopToken,
        TokenizerWithoutOffsets,
        TokenizerUnreadable,
    )
}


def refusal(trouble: Trouble, base_model: str) -> DomainError:
    """The error for what services/text said of a whole template or tokenizer."""
    kind = _BY_REASON.get(trouble.reason, RowNotRendered)
    return kind(base_model=base_model, detail_en=trouble.en, detail_ja=trouble.ja)
