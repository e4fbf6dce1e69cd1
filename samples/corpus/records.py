"""Business records: a few sentences about one matter, and the value of each field in them."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from samples.corpus import complaints, entities, figures
from samples.corpus.splits import Split, draw

_SLOT = re.compile(r"\{(\w+)\}")

# The opening names some fields; the extras may follow, each in a sentence of its own.
_SCENES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "order": (
        (
            "{company}の{person}様から{product}を{quantity}ご注文いただきました。",
            "{person}様（{company}）より{product}{quantity}のご注文を承りました。",
            "{company}様向けに{product}を{quantity}手配しています。",
            "本日、{company}から{product}の注文が{quantity}分入りました。",
            "{product}を{quantity}、{company}の{person}様にお届けします。",
        ),
        ("due", "number", "amount", "staff", "person"),
    ),
    "meeting": (
        (
            "{date}の{time}から{place}で{company}の{person}様と打ち合わせをします。",
            "{company}の{person}様との商談は{date}{time}から{place}で行います。",
            "{place}にて{date}に{company}様との会議があります。",
            "{person}様（{company}）が{date}に{place}へお越しになります。",
        ),
        ("time", "product", "staff", "person"),
    ),
    "invoice": (
        (
            "{company}様へのご請求額は{amount}です。",
            "{company}の{person}様に{amount}の請求書をお送りしました。",
            "{product}の代金{amount}を{company}様に請求しました。",
            "{company}様から{amount}をお支払いいただく予定です。",
        ),
        ("deadline", "number", "person", "staff"),
    ),
    "shipping": (
        (
            "{product}{quantity}を{warehouse}へ出荷しました。",
            "{warehouse}から{company}様へ{product}を{quantity}発送します。",
            "{company}様ご注文の{product}は{warehouse}で保管しています。",
        ),
        ("due", "number", "company", "staff", "quantity"),
    ),
    "quote": (
        (
            "{company}の{person}様に{product}の見積書をお出ししました。",
            "{product}のお見積もりを{company}様からご依頼いただきました。",
            "{person}様（{company}）が{product}{quantity}の見積もりをご希望です。",
        ),
        ("amount", "deadline", "number", "staff", "quantity"),
    ),
    "seminar": (
        (
            "{date}に{place}で{product}の説明会を開きます。",
            "{product}の研修は{date}{time}から{place}で行います。",
            "{company}様向けの{product}研修を{date}に予定しています。",
        ),
        ("time", "person", "staff", "department"),
    ),
    "transfer": (
        (
            "{department}の{staff}が{company}様を担当します。",
            "{date}から{company}様の窓口は{department}の{staff}になります。",
            "{company}様の件は{staff}が引き継ぎ、{department}で対応します。",
        ),
        ("person", "product", "number"),
    ),
    "complaint": (
        (
            "{company}の{person}様から「{complaint}」とご連絡がありました。",
            "{product}について「{complaint}」と{company}様からお電話がありました。",
            "「{complaint}」というお問い合わせを{person}様（{company}）からいただきました。",
        ),
        ("number", "product", "person", "staff"),
    ),
}
_EXTRAS: dict[str, tuple[str, ...]] = {
    "company": ("お客様は{}様です。", "納品先は{}様です。"),
    "person": ("先方の窓口は{}様です。", "先方のご担当は{}様です。", "{}様が窓口です。"),
    "staff": ("当社の担当は{}です。", "社内では{}が対応します。", "{}が社内の担当です。"),
    "product": ("対象の商品は{}です。", "今回の品目は{}です。"),
    "quantity": ("数量は{}です。", "全部で{}あります。"),
    "amount": ("金額は{}です。", "合計は{}になります。", "総額は{}です。"),
    "due": ("納期は{}です。", "{}までに納品します。", "納品日は{}を予定しています。", "お届けは{}の予定です。"),
    "deadline": ("期限は{}です。", "期限は{}となっています。", "{}が締め切りです。"),
    "time": ("開始は{}です。", "{}に始まります。", "時刻は{}です。"),
    "number": ("管理番号は{}です。", "伝票番号は{}です。", "{}の番号で登録しました。"),
    "department": ("担当部署は{}です。", "{}が主催します。"),
}
_SPLIT_ENTITIES: dict[str, Callable[[random.Random], str]] = {
    "company": entities.company,
    "person": entities.person,
    "staff": entities.person,
    "product": entities.product,
    "number": entities.reference,
    "amount": entities.amount,
}
_SHARED_FIGURES: dict[str, Callable[[random.Random], str]] = {
    "quantity": figures.quantity,
    "due": figures.date,
    "deadline": figures.date,
    "date": figures.date,
    "time": figures.time,
    "place": figures.room,
    "warehouse": figures.warehouse,
    "department": figures.department,
}
SPLIT_FIELDS = frozenset(_SPLIT_ENTITIES)


@dataclass(frozen=True)
class Record:
    """A matter in words, and its fields.

    Every value stands verbatim in `text`, except the department of a complaint, which has to be
    known. A warehouse is given as the field `place`.
    """

    scene: str
    text: str
    fields: dict[str, str]


def value(rng: random.Random, split: Split, field: str) -> str:
    """Make a value for a field, from the entities of the split."""
    if field in _SPLIT_ENTITIES:
        return draw(rng, split, _SPLIT_ENTITIES[field])
    return _SHARED_FIGURES[field](rng)


def compose(rng: random.Random, split: Split, max_extras: int = 2) -> Record:
    """Compose a record of a random scene with up to `max_extras` additional sentences."""
    scene = rng.choice(tuple(_SCENES))
    openings, extras = _SCENES[scene]
    opening = rng.choice(openings)
    fields: dict[str, str] = {}
    for slot in _SLOT.findall(opening):
        if slot == "complaint":
            fields[slot], fields["department"] = complaints.complaint(rng)
        else:
            fields[slot] = _fresh(rng, split, slot, fields)
    sentences = [opening.format(**fields)]
    spare = [extra for extra in extras if extra not in fields]
    for extra in rng.sample(spare, min(len(spare), rng.randint(1, max_extras))):
        fields[extra] = _fresh(rng, split, extra, fields)
        sentences.append(rng.choice(_EXTRAS[extra]).format(fields[extra]))
    fields.pop("complaint", None)
    if "warehouse" in fields:
        fields["place"] = fields.pop("warehouse")
    return Record(scene, "".join(sentences), fields)


def _fresh(rng: random.Random, split: Split, field: str, taken: dict[str, str]) -> str:
    """Make a value that no other field of the record has, so that each answer is unambiguous."""
    while (made := value(rng, split, field)) in taken.values():
        pass
    return made
