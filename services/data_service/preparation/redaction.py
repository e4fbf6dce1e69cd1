"""Personal data in texts: e-mail addresses, Japanese telephone numbers and My Numbers, replaced by marks.

Texts are searched in a folded copy of the same length (full-width digits and letters, every kind of hyphen), so that
places found there hold in the original.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from services.data_service.recipe import Redaction

EMAIL, PHONE, MY_NUMBER = "[EMAIL]", "[PHONE]", "[MY_NUMBER]"

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0xA0: " "}
_HYPHENS = dict.fromkeys(map(ord, "‐‑‒–—―−－ーｰ"), "-")
_FOLD_LETTERS = str.maketrans(_FULL_WIDTH)
_FOLD_NUMBERS = str.maketrans(_FULL_WIDTH | _HYPHENS)

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,63}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9_-])"
)

# No number begins or ends inside a longer one, a decimal fraction or a code such as A-0312-34-5678.
_BEFORE = r"(?<![\d+])(?<!\d[-.,/])(?<![A-Za-z0-9]-)"
_AFTER = r"(?!\d)(?![-,.]\d)"
_S = r"(?:- ?| -? ?)"
"""What stands between groups of digits, one or two characters."""


def _groups(area: str, exchange: str) -> str:
    """A fixed line's number in groups: 03-1234-5678, (03) 1234-5678, 03(1234)5678."""
    return rf"(?:\({area}\) ?{exchange}{_S}|{area}(?:{_S}{exchange}{_S}|\({exchange}\) ?))\d{{4}}"


# Area code and exchange have six digits together; 03 and 06 are never longer, and of the others only 04 has two digits.
_FIXED = "|".join(
    (
        _groups("0[346]", r"\d{4}"),
        _groups(r"0[1245789]\d", r"\d{3}"),
        _groups(r"0[1245789]\d{2}", r"\d{2}"),
        _groups(r"0[1245789]\d{3}", r"\d"),
    )
)
_MOBILE = rf"0[5789]0(?:{_S}\d{{4}}{_S}|\d{{4}})\d{{4}}"
_SERVICE = rf"0120(?:{_S}\d{{3}}{_S}\d{{3}}|{_S}\d{{2}}{_S}\d{{4}}|\d{{6}})|0(?:570|800|990){_S}\d{{2,4}}{_S}\d{{3,4}}"
_ABROAD = rf"\+81{_S}?(?:\(0\))?{_S}?(?:[5789]0{_S}?\d{{4}}|[1-9]{_S}?\d{{4}}|[1-9]\d{_S}?\d{{3}}|[1-9]\d{{2}}{_S}?\d{{2}}|[1-9]\d{{3}}{_S}?\d){_S}?\d{{4}}"
_PHONE = re.compile(rf"{_BEFORE}(?:{_MOBILE}|{_SERVICE}|{_FIXED}){_AFTER}|(?<![\d+]){_ABROAD}{_AFTER}")
_MAY_BEGIN = re.compile(r"[0+(](?=[\d() +-]{8})")
# Ten digits without a break may be anything, unless the text says what they are.
_BARE = re.compile(rf"{_BEFORE}0[1-9]\d{{8}}{_AFTER}")
_SAYS_PHONE = re.compile(r"(?:TEL|FAX|電話|電話番号|携帯番号|℡)[:は ]{0,3}\Z", re.IGNORECASE)
_SAYS_PHONE_WITHIN = 8
_TWELVE = re.compile(rf"{_BEFORE}(?<!\d{{4}} )\d{{4}}([- ]?)\d{{4}}\1\d{{4}}{_AFTER}(?! \d{{4}}(?!\d))")
_MAY_BE_TWELVE = re.compile(r"\d(?=[\d -]{11})")
_TIME = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d")
_SAYS_SO = re.compile(r"マイナンバー|個人番号|my ?number", re.IGNORECASE)
_SAYS_SO_WITHIN = 20
_NINE_DIGITS = re.compile(r"\d(?:[\W_ーｰ]{0,3}\d){8}")
"""What every number has, in any width; a quick look that spares most texts the folding."""


def redactor(redaction: Redaction) -> Callable[[str], str] | None:
    """What replaces the data that is asked for; None for nothing."""
    # A My Number may begin like a telephone number, and is longer.
    steps = [
        step
        for asked, step in (
            (redaction.emails, redact_emails),
            (redaction.my_numbers, redact_my_numbers),
            (redaction.phone_numbers, redact_phone_numbers),
        )
        if asked
    ]
    if not steps:
        return None

    def redact(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return redact


def redact_emails(text: str) -> str:
    """The text with [EMAIL] for e-mail addresses."""
    if "@" not in text and "＠" not in text:
        return text
    return _replaced(text, (match.span() for match in _EMAIL.finditer(text.translate(_FOLD_LETTERS))), EMAIL)


def redact_phone_numbers(text: str) -> str:
    """The text with [PHONE] for Japanese telephone numbers."""
    if not _NINE_DIGITS.search(text):
        return text
    return _replaced(text, _phones(text.translate(_FOLD_NUMBERS)), PHONE)


def _phones(folded: str) -> Iterator[tuple[int, int]]:
    """Where numbers stand. Only places that may begin one get the long look."""
    at = 0
    for start in (match.start() for match in _MAY_BEGIN.finditer(folded)):
        if start < at:
            continue
        found = _PHONE.match(folded, start)
        if found is None and _SAYS_PHONE.search(folded[max(0, start - _SAYS_PHONE_WITHIN) : start]):
            found = _BARE.match(folded, start)
        if found is not None:
            at = found.end()
            yield found.span()


def redact_my_numbers(text: str) -> str:
    """The text with [MY_NUMBER] for twelve digits that have the check digit of a My Number."""
    if not _NINE_DIGITS.search(text):
        return text
    folded = text.translate(_FOLD_NUMBERS)
    places = (_TWELVE.match(folded, start.start()) for start in _MAY_BE_TWELVE.finditer(folded))
    return _replaced(text, (found.span() for found in places if found and _is_my_number(found, text)), MY_NUMBER)


def check_digit(eleven: str) -> int:
    """The twelfth digit of a My Number (Order of the Ministry of Internal Affairs, 2014, No. 85, Article 5)."""
    total = 0
    for n, digit in enumerate(reversed(eleven), start=1):
        total += int(digit) * (n + 1 if n <= 6 else n - 5)
    rest = total % 11
    return 0 if rest <= 1 else 11 - rest


def _is_my_number(match: re.Match[str], text: str) -> bool:
    """`match` is one in the folded `text`."""
    digits = match[0].replace("-", "").replace(" ", "")
    if int(digits[-1]) != check_digit(digits[:-1]) or len(set(digits)) == 1:
        return False
    # One in eleven times has a fitting check digit by chance.
    is_time = not match[1] and _TIME.fullmatch(digits) is not None
    return not is_time or _SAYS_SO.search(text, max(0, match.start() - _SAYS_SO_WITHIN), match.start()) is not None


def _replaced(text: str, spans: Iterator[tuple[int, int]], mark: str) -> str:
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces += (text[at:start], mark)
        at = end
    return "".join((*pieces, text[at:])) if pieces else text
