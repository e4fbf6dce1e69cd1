"""Companies, people, products, reference numbers and amounts: the entities that are split."""

import hashlib
import random

_HEADS = (
    "山川 北星 東和 三陽 大栄 青葉 富士見 桜井 白川 松原 中央 新和 日向 光陽 高砂 若葉 朝日野 西海 南風 常磐 "
    "瑞穂 明和 共栄 丸山 大和田 平成 緑川 星野 清水谷 岩城 関東 近畿 北陸 信州 瀬戸 九州 千歳 長谷 武蔵 相模 "
    "駿河 越後 浪速 宮前 本郷 旭 泉 鶴見 双葉 万代 協和 東邦 昭栄 太陽 大洋 日本橋 神田 梅田 博多 仙台 "
    "アルファ オリオン ミライ サクラ ヒカリ ミナト アオバ スバル カエデ ツバサ"
).split()
_TRADES = (
    "精機 物産 商事 電機 製作所 フーズ 食品 化学 建設 運輸 印刷 繊維 工業 産業 システム 技研 設備 紙業 薬品 鉄工 "
    "木材 農園 水産 醸造 家具 文具 玩具 光学 通商 倉庫 不動産 観光 出版 保険 メディカル デザイン エナジー テック "
    "ロジスティクス ソリューションズ"
).split()
_FORMS = ("株式会社{}", "{}株式会社", "有限会社{}", "{}合同会社", "株式会社{}", "{}株式会社")
_SURNAMES = (
    "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 松本 井上 木村 林 斎藤 清水 山崎 森 池田 "
    "橋本 阿部 石川 山下 中島 石井 小川 前田 岡田 長谷川 藤田 後藤 近藤 村上 遠藤 青木 坂本 福田 太田 西村 藤井 "
    "金子 岡本 藤原 三浦 中野 原田 松田 竹内 上田 和田 中山 森田 石田 小野 原 柴田 酒井 工藤 横山 宮崎 宮本 内田 "
    "高木 安藤 谷口 大野 丸山 今井 河野 小島 村田 武田 上野 杉山 増田 平野 菅原 久保 松井 千葉 岩崎 野口 木下"
).split()
_GIVEN = (
    "健一 由美 翔太 美咲 大輔 陽子 拓也 恵子 直樹 真由美 浩二 智子 亮 彩 修 愛 誠 久美子 和也 裕子 隆 香織 剛 "
    "麻衣 聡 優子 洋平 明美 学 理恵 達也 幸子 雄太 千尋 慎吾 奈々 秀樹 桃子 正人 典子 康平 早紀 勇気 美穂 "
    "一郎 花子 純 舞 徹 葵 進 沙織 昇 里奈 豊 文子 悠斗 結衣 蓮 玲奈"
).split()
# A range of products and the goods that it may name: nobody sells yokan called "digital".
_RANGES = (
    (
        "アクア ライト スマート エコ プレミアム クリア ソフト ハイパー ミニ コンパクト ナチュラル マイルド スピード "
        "フレッシュ ゴールド シルバー グリーン ブルー レインボー スター ムーン サンライズ フォレスト オーシャン リバー "
        "ウイング クラウド ネクスト デジタル ベーシック".split(),
        "加湿器 除湿機 掃除機 扇風機 電気ポット 炊飯器 照明器具 空気清浄機 冷蔵庫 洗濯機 プリンター 複合機 複写機 モニター "
        "キーボード 電卓 電動ドリル 計測器 温度計 監視カメラ センサー 蓄電池 発電機 給湯器 会議机 事務椅子 書類棚 "
        "ホワイトボード 作業服 作業靴 手袋 安全帽 カーテン 工具箱".split(),
    ),
    (
        "特選 極上 里山 北国 みやび 匠 旬 まごころ 老舗 こだわり 越路 花 雪 月 桜 若竹 千代 百年".split(),
        "緑茶 紅茶 コーヒー豆 煎餅 羊羹 調味料 醤油 味噌 日本酒 石鹸 タオル 毛布 座布団 花瓶 食器 湯のみ 包丁 万年筆 "
        "手帳 名刺入れ 包装紙 封筒".split(),
    ),
)
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


def company(rng: random.Random) -> str:
    """Make a company's full name; one core name always has the same legal form."""
    core = rng.choice(_HEADS) + rng.choice(_TRADES)
    form = _FORMS[hashlib.sha256(core.encode()).digest()[-1] % len(_FORMS)]
    return form.format(core)


def person(rng: random.Random) -> str:
    """Make a full name, family name first."""
    return rng.choice(_SURNAMES) + rng.choice(_GIVEN)


def product(rng: random.Random) -> str:
    """Make a product's name, a series and a kind of goods."""
    series, goods = _RANGES[rng.random() < 0.35]
    return rng.choice(series) + rng.choice(goods)


def reference(rng: random.Random) -> str:
    """Make a reference number such as `KZ-3102`."""
    return f"{rng.choice(_LETTERS)}{rng.choice(_LETTERS)}-{rng.randint(1000, 9999)}"


def amount(rng: random.Random) -> str:
    """Make an amount in yen with thousands separators, or a round one in units of 10,000 yen."""
    if rng.random() < 0.3:
        return f"{rng.randint(11, 999)}万{rng.randint(1, 9)}千円"
    return f"{rng.randint(101, 9999) * rng.choice((100, 100, 1000)):,}円"
