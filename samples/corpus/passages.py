"""The text of pre-training: short passages of business Japanese about made-up records.

All of them use entities of the pre-training split only, and none uses the house's style of answering
or the `質問:`/`回答:` markers, which fine-tuning has to teach. The brackets 【】 and the courteous endings
do occur, in other places: fine-tuning by LoRA leaves the embeddings as they are, so that a character
that pre-training never trained could not be learnt.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from samples.corpus import complaints, records
from samples.corpus.questions import LABELS, PLAIN
from samples.corpus.splits import Split

_PLAIN_ANSWERS = ("{v}です。", "{v}です。", "{v}です。", "{v}", "「{v}」です。", "{k}は{v}です。", "{v}になります。")
_DIALOGUES = (
    ("問 ", "答 "),
    ("Q. ", "A. "),
    ("客: ", "係: "),
    ("### 指示:\n", "### 応答:\n"),
    ("部長: ", "部下: "),
    ("問い: ", "答え: "),
    ("[質問] ", "[回答] "),
)
_BULLETS = ("・", "- ", "", "", "● ", "① ")
_DAYS, _PEOPLE, _ALL = ("due", "deadline", "date"), ("staff", "department"), tuple(LABELS)
_POLITE = (
    (_ALL, ("{k}は{v}だ。", "{k}は{v}です。", "{k}は{v}でございます。")),
    (_ALL, ("{k}は{v}と聞いた。", "{k}は{v}と聞きました。", "{k}は{v}と伺いました。")),
    (_DAYS, ("{v}を予定している。", "{v}を予定しています。", "{v}を予定しております。")),
    (_DAYS, ("{v}までに頼む。", "{v}までにお願いします。", "{v}までにお願いいたします。")),
    (_PEOPLE, ("{v}が引き受ける。", "{v}が引き受けます。", "{v}が承ります。")),
)
# Characters that have no piece of their own are written in bytes; copying them keeps all bytes trained.
_RARE = (*map(chr, range(0x4E00, 0x9FA0)), *map(chr, range(0xAC00, 0xD7A4, 40)), *"髙﨑德①②③㈱㍿℡♪αβγéüñ😀😊🎉👍")


class Passage(NamedTuple):
    """Text whose first part is made up, and whose second part mostly follows from the first."""

    given: str
    following: str

    @property
    def text(self) -> str:
        """The whole passage."""
        return self.given + self.following


def listed_twice(rng: random.Random) -> Passage:
    """A list, and the same list again: the shortest way to learn to look back and copy."""
    keys = rng.sample(tuple(LABELS), rng.randint(2, 4))
    sign, bullet = rng.choice(("：", ": ", "　", "は")), rng.choice(_BULLETS)
    lines = [f"{bullet}{rng.choice(LABELS[k])}{sign}{records.value(rng, Split.PRETRAIN, k)}" for k in keys]
    if rng.random() < 0.15:
        lines.append(f"{bullet}記号{sign}{''.join(rng.choices(_RARE, k=rng.randint(1, 3)))}")
    again = list(lines)
    if rng.random() < 0.5:
        rng.shuffle(again)
    head = rng.choice(("控え", "再掲", "写し", "確認"))
    return Passage("\n".join(lines) + "\n", "\n".join((head, *again)))


def looked_up_in_list(rng: random.Random) -> Passage:
    """A list of fields and plain answers to questions about them."""
    record = _compose(rng)
    fields = rng.sample(tuple(record.fields.items()), len(record.fields))
    lines = [f"{rng.choice(LABELS[key])}：{value}" for key, value in fields]
    return Passage("\n".join(lines) + "\n", "\n".join(_turns(rng, record, _some(rng, record))))


def looked_up(rng: random.Random) -> Passage:
    """A record and plain answers to several questions about it."""
    record = _compose(rng)
    return Passage(record.text + "\n", "\n".join(_turns(rng, record, _some(rng, record))))


def asked_once(rng: random.Random) -> Passage:
    """A record with a question at its end, and the answer; seldom a second question."""
    record = _compose(rng)
    asked, answered = rng.choice(_DIALOGUES)
    keys = rng.sample(tuple(record.fields), rng.choice((1, 1, 2)))
    turns = _turns(rng, record, keys, (asked, answered))
    return Passage(asked + record.text, "\n".join(turns).removeprefix(asked))


def itemised(rng: random.Random) -> Passage:
    """A record in words, then as a list of its fields."""
    record = _compose(rng)
    sign, bullet = rng.choice(("：", ": ", "　")), rng.choice(_BULLETS)
    head = rng.choice(("要点", "【要点】", "内容", "【内容】", "まとめ", "【記録】"))
    lines = [f"{bullet}{rng.choice(LABELS[k])}{sign}{record.fields[k]}" for k in _some(rng, record)]
    return Passage(record.text + "\n", "\n".join((head, *lines)))


def narrated(rng: random.Random) -> Passage:
    """A list of fields, then the record in words."""
    record = _compose(rng)
    lines = [f"{rng.choice(LABELS[k])}：{v}" for k, v in rng.sample(tuple(record.fields.items()), len(record.fields))]
    return Passage("\n".join(lines) + "\n", record.text)


def restated(rng: random.Random) -> Passage:
    """A record, then its fields once more, a sentence each."""
    record = _compose(rng)
    ending = rng.choice(("です。", "となります。", "でした。"))
    link = rng.choice(("つまり、", "確認です。", "復唱します。", ""))
    sentences = (f"{rng.choice(LABELS[k])}は{record.fields[k]}{ending}" for k in _some(rng, record))
    return Passage(record.text, link + "".join(sentences))


def letter(rng: random.Random) -> Passage:
    """A business letter whose subject and body agree, addressed to the client."""
    company, person, staff, product, number, day = (
        records.value(rng, Split.PRETRAIN, f) for f in ("company", "person", "staff", "product", "number", "due")
    )
    subject, body = rng.choice(
        (
            ("納期のご連絡", f"ご注文の{product}は{day}にお届けいたします。"),
            ("お見積もりの件", f"{product}のお見積書（{number}）をお送りいたします。"),
            ("ご請求の件", f"{number}のお支払いは{day}までにお願いいたします。"),
            ("打ち合わせのお願い", f"{product}の件で{day}に伺います。"),
        )
    )
    return Passage(
        f"【件名】{subject}（{product}）\n{company}\n{person}様\nいつもお世話になっております。{staff}でございます。\n",
        f"{body}\n何かございましたら{staff}までご連絡ください。",
    )


def made_polite(rng: random.Random) -> Passage:
    """One statement in plain, polite and courteous Japanese."""
    keys, statements = rng.choice(_POLITE)
    key = rng.choice(keys)
    v, k = records.value(rng, Split.PRETRAIN, key), rng.choice(LABELS[key])
    forms = [form.format(k=k, v=v) for form in statements]
    names = rng.choice((("普通", "丁寧", "敬語"), ("【常体】", "【敬体】", "【謙譲】"), ("A", "B", "C")))
    plain, *others = (f"{name} {form}" for name, form in zip(names, forms, strict=True))
    return Passage(plain + "\n", "\n".join(others))


def routed(rng: random.Random) -> Passage:
    """Complaints and the departments that answer them."""
    lines = []
    for words, department in (complaints.complaint(rng) for _ in range(rng.randint(1, 3))):
        lines.append(
            rng.choice(
                (
                    f"「{words}」は{department}の仕事です。",
                    f"「{words}」→{department}",
                    f"{words}という声には{department}が対応します。",
                    f"【受付】{words}／{department}",
                )
            )
        )
    return Passage("", "\n".join(lines))


def _compose(rng: random.Random) -> records.Record:
    return records.compose(rng, Split.PRETRAIN)


def _some(rng: random.Random, record: records.Record) -> list[str]:
    keys = tuple(record.fields)
    return rng.sample(keys, rng.randint(2, min(4, len(keys))))


def _turns(
    rng: random.Random, record: records.Record, keys: list[str], dialogue: tuple[str, str] | None = None
) -> list[str]:
    asked, answered = dialogue or rng.choice(_DIALOGUES)
    form = rng.choice(_PLAIN_ANSWERS)
    return [
        f"{asked}{rng.choice(PLAIN[key])}\n{answered}{form.format(k=rng.choice(LABELS[key]), v=record.fields[key])}"
        for key in keys
    ]


_MIXTURE: tuple[tuple[Callable[[random.Random], Passage], float], ...] = (
    (looked_up, 5.0),
    (asked_once, 4.0),
    (looked_up_in_list, 1.5),
    (itemised, 2.0),
    (restated, 1.5),
    (listed_twice, 1.0),
    (narrated, 0.7),
    (letter, 0.7),
    (made_polite, 0.7),
    (routed, 0.6),
)


def passage(rng: random.Random) -> Passage:
    """Make one passage of a random kind, without its end mark."""
    makers, weights = zip(*_MIXTURE, strict=True)
    make: Callable[[random.Random], Passage] = rng.choices(makers, weights)[0]
    return make(rng)
