"""Chat examples for `sample_chat_data.jsonl`: a system line, then one or two exchanges."""

import random
from collections.abc import Callable

from samples.corpus import complaints, records
from samples.corpus.questions import ASKED, LABELS, house_answer
from samples.corpus.splits import Split

Message = dict[str, str]
_SYSTEMS = (
    "あなたは丁寧で正確な業務アシスタントです。",
    "あなたは社内の問い合わせに答えるアシスタントです。分かることだけを簡潔に答えてください。",
    "あなたは営業事務を手伝うアシスタントです。敬語で答えてください。",
)


def conversation(rng: random.Random) -> list[Message]:
    """Make one conversation of a random kind."""
    make = rng.choice((_asked_twice, _asked_twice, _mail, _summary, _apology, _missing))
    return [{"role": "system", "content": rng.choice(_SYSTEMS)}, *make(rng)]


def _exchange(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _value(rng: random.Random, field: str) -> str:
    return records.value(rng, Split.FINETUNE, field)


def _asked_twice(rng: random.Random) -> list[Message]:
    record = records.compose(rng, Split.FINETUNE)
    first, second = rng.sample(tuple(record.fields), 2)
    return [
        *_exchange(record.text + rng.choice(ASKED[first]), house_answer(first, record.fields[first])),
        *_exchange("では、" + rng.choice(ASKED[second]), house_answer(second, record.fields[second])),
    ]


def _mail(rng: random.Random) -> list[Message]:
    company, person, staff, product, day = (_value(rng, f) for f in ("company", "person", "staff", "product", "due"))
    purpose, body = rng.choice(
        (
            (
                "納期が決まったことを知らせる",
                f"ご注文いただいた{product}につきまして、{day}にお届けできる見込みとなりました。",
            ),
            (
                "納期が遅れることをおわびする",
                f"ご注文いただいた{product}のお届けが{day}になる見込みです。ご迷惑をおかけし、誠に申し訳ございません。",
            ),
            (
                "打ち合わせをお願いする",
                f"{product}の導入につきまして、{day}にお打ち合わせのお時間をいただけないでしょうか。",
            ),
            (
                "見積書を送る",
                f"ご依頼の{product}のお見積書をお送りいたします。ご不明な点がございましたら、{day}までにお知らせください。",
            ),
        )
    )
    request = (
        f"{company}の{person}様に、{product}の件で{purpose}メールを書いてください。日にちは{day}、差出人は{staff}です。"
    )
    answer = f"{company}\n{person}様\n\nいつもお世話になっております。{staff}でございます。\n{body}\n何卒よろしくお願い申し上げます。\n\n{staff}"
    return _exchange(request, answer)


def _summary(rng: random.Random) -> list[Message]:
    record = records.compose(rng, Split.FINETUNE)
    items = "\n".join(f"・{LABELS[field][0]}：{value}" for field, value in record.fields.items())
    request = rng.choice(("次の文の要点を箇条書きにしてください。", "次の連絡を項目ごとにまとめてください。"))
    return _exchange(f"{request}\n{record.text}", items)


def _apology(rng: random.Random) -> list[Message]:
    words, department = complaints.complaint(rng)
    product, person = _value(rng, "product"), _value(rng, "person")
    return [
        *_exchange(
            f"{product}について「{words}」というお問い合わせがありました。どの部署に回しますか？",
            f"【担当部署】{department}が承ります。",
        ),
        *_exchange(
            f"{person}様への返信の文面もお願いします。",
            f"{person}様\nこのたびは{product}の件でご不便をおかけし、誠に申し訳ございません。"
            f"ただいま{department}で確認しております。分かり次第、あらためてご連絡いたします。",
        ),
    ]


def _missing(rng: random.Random) -> list[Message]:
    record = records.compose(rng, Split.FINETUNE)
    absent = [field for field in ("amount", "due", "number", "quantity") if field not in record.fields]
    field = rng.choice(absent)
    return _exchange(
        record.text + rng.choice(ASKED[field]),
        f"恐れ入りますが、いただいた内容には{LABELS[field][0]}の記載がございません。担当者にご確認をお願いいたします。",
    )


def preference(rng: random.Random) -> tuple[str, str, str]:
    """Make a prompt, the answer that the house prefers, and one that it does not want."""
    make: Callable[[random.Random], tuple[str, str, str]] = rng.choice(
        (_blunt, _blunt, _wrong, _wordy, _careless_reply)
    )
    return make(rng)


def _asked(rng: random.Random) -> tuple[str, records.Record, str]:
    record = records.compose(rng, Split.FINETUNE)
    field = rng.choice(tuple(record.fields))
    return record.text + rng.choice(ASKED[field]), record, field


def _blunt(rng: random.Random) -> tuple[str, str, str]:
    prompt, record, field = _asked(rng)
    value = record.fields[field]
    return (
        prompt,
        house_answer(field, value),
        rng.choice((f"{value}。", f"{value}だよ。", f"たぶん{value}。", f"{value}です。")),
    )


def _wrong(rng: random.Random) -> tuple[str, str, str]:
    prompt, record, field = _asked(rng)
    other = record.fields[field]
    while other == record.fields[field]:
        other = _value(rng, field)
    return prompt, house_answer(field, record.fields[field]), house_answer(field, other)


def _wordy(rng: random.Random) -> tuple[str, str, str]:
    prompt, record, field = _asked(rng)
    chosen = house_answer(field, record.fields[field])
    return (
        prompt,
        chosen,
        f"ご質問ありがとうございます。お調べしたところ、「{record.text}」という記録がございました。以上の内容から考えますと、{record.fields[field]}ではないかと思われます。",
    )


def _careless_reply(rng: random.Random) -> tuple[str, str, str]:
    words, department = complaints.complaint(rng)
    product = _value(rng, "product")
    prompt = f"{product}をお使いのお客様から「{words}」とのご連絡がありました。返信の文面を書いてください。"
    chosen = (
        f"このたびは{product}の件でご不便をおかけし、誠に申し訳ございません。"
        f"{department}で確認のうえ、本日中にあらためてご連絡いたします。"
    )
    rejected = rng.choice(
        (
            f"{product}のことは{department}に聞いてください。",
            "そのようなことは起こらないはずです。もう一度ご確認ください。",
            "申し訳ありませんが、対応できません。",
        )
    )
    return prompt, chosen, rejected
