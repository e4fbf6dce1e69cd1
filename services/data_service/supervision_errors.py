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


_BY_REASON: dict[str, type[DomainError]] = {
    kind.reason: kind
    for kind in (TemplateNotMarked, TemplateRefusedRow, NoStopToken, TokenizerWithoutOffsets, TokenizerUnreadable)
}


def refusal(trouble: Trouble, base_model: str) -> DomainError:
    """The error for what services/text said of a whole template or tokenizer."""
    return _BY_REASON[trouble.reason](base_model=base_model, detail_en=trouble.en, detail_ja=trouble.ja)
