"""What customers complain about, and which department answers: knowledge that pre-training holds."""

import random

BY_DEPARTMENT: dict[str, tuple[str, ...]] = {
    "物流部": (
        "荷物がまだ届かない",
        "届いた箱がつぶれていた",
        "別の住所に配達された",
        "配送の時間が守られなかった",
        "違う商品が届いた",
        "数が足りないまま届いた",
    ),
    "経理部": (
        "請求書の金額が違う",
        "領収書が送られてこない",
        "二重に引き落とされた",
        "返金がまだ振り込まれない",
        "請求書の宛名が間違っている",
        "消費税の計算が合わない",
    ),
    "品質保証部": (
        "商品に傷がある",
        "使い始めてすぐに割れた",
        "異物が入っていた",
        "色が見本と違う",
        "部品が欠けている",
        "塗装がはがれてきた",
    ),
    "技術部": (
        "電源が入らない",
        "設定の方法が分からない",
        "動作中に止まってしまう",
        "異音がする",
        "画面に何も表示されない",
        "温度が上がらない",
    ),
    "情報システム部": (
        "会員ページにログインできない",
        "注文画面でエラーが出る",
        "登録のメールが届かない",
        "パスワードを変更できない",
        "サイトの表示が遅い",
        "予約の画面が開かない",
    ),
    "営業部": (
        "見積もりがまだ来ない",
        "担当者から返事がない",
        "契約の内容を説明してほしい",
        "割引の条件が聞いた話と違う",
        "訪問の約束が守られなかった",
        "カタログが届いていない",
    ),
}


def complaint(rng: random.Random) -> tuple[str, str]:
    """Choose a complaint; return its words and the department that answers."""
    department = rng.choice(tuple(BY_DEPARTMENT))
    return rng.choice(BY_DEPARTMENT[department]), department
