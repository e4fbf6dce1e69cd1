"""Dates, times, quantities, places and departments: small closed sets that all splits share."""

import datetime
import random

_WEEKDAYS = "月火水木金土日"
_FIRST_DAY = datetime.date(2026, 1, 5)
_COUNTERS = ("個", "台", "箱", "セット", "点", "本")
_ROOMS = (
    "本社会議室",
    "第一会議室",
    "第二会議室",
    "応接室",
    "大阪支店",
    "名古屋支店",
    "福岡営業所",
    "仙台営業所",
    "札幌支店",
    "横浜展示場",
    "研修センター",
    "オンライン",
)
_WAREHOUSES = (
    "千葉倉庫",
    "神戸倉庫",
    "川崎物流センター",
    "埼玉配送センター",
    "広島倉庫",
    "新潟倉庫",
    "静岡工場",
    "京都工場",
    "熊本工場",
    "岡山配送センター",
)
DEPARTMENTS = (
    "営業部",
    "物流部",
    "経理部",
    "品質保証部",
    "技術部",
    "人事部",
    "総務部",
    "情報システム部",
    "広報部",
    "購買部",
)


def date(rng: random.Random) -> str:
    """Make a working day of 2026, with or without its (true) day of the week."""
    day = _FIRST_DAY + datetime.timedelta(weeks=rng.randrange(51), days=rng.randrange(5))
    plain = f"{day.month}月{day.day}日"
    return f"{plain}（{_WEEKDAYS[day.weekday()]}）" if rng.random() < 0.4 else plain


def time(rng: random.Random) -> str:
    """Make a time within office hours."""
    if rng.random() < 0.5:
        return f"{rng.randint(9, 18)}時{rng.choice(('', '半', '15分', '45分'))}"
    half, hour = rng.choice((("午前", rng.randint(9, 11)), ("午後", rng.randint(1, 6))))
    return f"{half}{hour}時{rng.choice(('', '30分'))}"


def quantity(rng: random.Random) -> str:
    """Make a number of goods with its counter."""
    return f"{rng.choice((rng.randint(2, 99), rng.randint(10, 60) * 10))}{rng.choice(_COUNTERS)}"


def room(rng: random.Random) -> str:
    """Choose a place to meet."""
    return rng.choice(_ROOMS)


def warehouse(rng: random.Random) -> str:
    """Choose a place to ship to."""
    return rng.choice(_WAREHOUSES)


def department(rng: random.Random) -> str:
    """Choose a department."""
    return rng.choice(DEPARTMENTS)
