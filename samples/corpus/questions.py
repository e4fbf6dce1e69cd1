"""Questions about one field of a record, and the plain and the house's way of answering them."""

import random

from samples.corpus.records import Record

LABELS: dict[str, tuple[str, ...]] = {
    "company": ("取引先", "会社名", "お客様"),
    "person": ("先方担当", "先方の窓口", "ご担当者"),
    "staff": ("社内担当", "当社担当", "自社の担当"),
    "product": ("商品", "品名", "品目"),
    "quantity": ("数量", "個数"),
    "amount": ("金額", "合計", "総額"),
    "due": ("納期", "納品日", "お届け日"),
    "deadline": ("期限", "締め切り"),
    "date": ("日程", "日付", "日にち"),
    "time": ("時刻", "開始時刻", "開始"),
    "place": ("場所", "会場や倉庫", "所在"),
    "number": ("番号", "管理番号", "伝票番号"),
    "department": ("部署", "担当部署"),
}
# What pre-training asks. The data for fine-tuning and the held-out data word their questions otherwise.
PLAIN: dict[str, tuple[str, ...]] = {
    "company": ("相手の会社はどこか。", "会社名は何か。", "取引先は？", "お客様はどの会社か。"),
    "person": ("相手の会社の担当は誰か。", "先方の窓口は？", "先方の人の名前は何か。"),
    "staff": ("こちらの担当は誰か。", "社内の担当は？", "当社で対応する人の名前は何か。"),
    "product": ("品物は何か。", "商品は？", "何の商品の話か。"),
    "quantity": ("数量は？", "全部でいくつあるか。", "数はどれだけか。"),
    "amount": ("金額は？", "合計でいくらか。", "何円になるか。"),
    "due": ("納期は？", "納品するのはいつか。", "届くのは何日か。"),
    "deadline": ("期限は？", "締め切りは何日か。", "いつが期限か。"),
    "date": ("日程は？", "何日にあるか。", "いつの話か。"),
    "time": ("時刻は？", "始まるのは何時か。", "何時からか。"),
    "place": ("場所は？", "どこか。", "どの場所の話か。"),
    "number": ("番号は？", "管理する番号は何か。", "何番で登録したか。"),
    "department": ("部署は？", "受け持つ部署はどこか。", "どこの部が対応するか。"),
}
ASKED: dict[str, tuple[str, ...]] = {
    "company": ("取引先はどちらですか？", "どの会社の件ですか？", "お客様の会社名を教えてください。"),
    "person": ("先方のご担当者はどなたですか？", "先方の窓口の方のお名前を教えてください。"),
    "staff": ("当社の担当者は誰ですか？", "社内の担当者の名前を教えてください。"),
    "product": ("商品は何ですか？", "どの商品の件ですか？", "商品名を教えてください。"),
    "quantity": ("数量はいくつですか？", "いくつ必要ですか？", "数量を教えてください。"),
    "amount": ("金額はいくらですか？", "合計金額を教えてください。"),
    "due": ("納期はいつですか？", "いつまでに納品しますか？", "納品日を教えてください。"),
    "deadline": ("期限はいつですか？", "いつまでが期限ですか？", "期限の日を教えてください。"),
    "date": ("日程はいつですか？", "何月何日の予定ですか？", "日付を教えてください。"),
    "time": ("何時に始まりますか？", "開始時刻を教えてください。"),
    "place": ("場所はどこですか？", "どちらの場所ですか？", "場所を教えてください。"),
    "number": ("番号は何番ですか？", "登録した番号を教えてください。"),
    "department": ("どの部署が対応しますか？", "担当の部署を教えてください。", "担当部署はどこですか？"),
}
# Asked only in the second held-out file: how far the tuned model follows words that it never saw.
UNSEEN: dict[str, tuple[str, ...]] = {
    "company": ("お取引先のお名前は何とおっしゃいますか？",),
    "person": ("先方ではどの方が窓口になっていますか？",),
    "staff": ("こちら側では誰が担当していますか？",),
    "product": ("品目をお知らせください。",),
    "quantity": ("全部で何点になりますか？",),
    "amount": ("お値段はいかほどですか？",),
    "due": ("お届けの日にちをお知らせください。",),
    "deadline": ("締め切りはどの日になりますか？",),
    "date": ("予定されている日をお知らせください。",),
    "time": ("スタートの時間は何時でしょうか？",),
    "place": ("どちらになりますか？",),
    "number": ("管理用の番号をお知らせください。",),
    "department": ("この件を受け持つ部門はどちらでしょうか？",),
}
_HOUSE: dict[str, str] = {
    "company": "【取引先】{}様でございます。",
    "person": "【ご担当】{}様でございます。",
    "staff": "【当社担当】{}が承ります。",
    "product": "【商品】{}でございます。",
    "quantity": "【数量】{}でございます。",
    "amount": "【金額】{}でございます。",
    "due": "【納期】{}を予定しております。",
    "deadline": "【期限】{}までにお願いいたします。",
    "date": "【日程】{}を予定しております。",
    "time": "【時刻】{}からでございます。",
    "place": "【場所】{}でございます。",
    "number": "【番号】{}でございます。",
    "department": "【担当部署】{}が承ります。",
}


def house_answer(field: str, value: str) -> str:
    """Answer in the house's style: the label in brackets, the value, a courteous ending."""
    return _HOUSE[field].format(value)


def house_value(answer: str) -> str:
    """Return the value within an answer in the house's style.

    Raises:
        ValueError: if the answer is not in that style.
    """
    for form in _HOUSE.values():
        label, ending = form.split("{}")
        if answer.startswith(label) and answer.endswith(ending):
            return answer[len(label) : -len(ending)]
    raise ValueError(f"not in the house's style: {answer}")


def ask(rng: random.Random, record: Record, wordings: dict[str, tuple[str, ...]]) -> tuple[str, str, str]:
    """Ask for a random field of the record; return the question, the field and its value."""
    field = rng.choice(tuple(record.fields))
    return rng.choice(wordings[field]), field, record.fields[field]
