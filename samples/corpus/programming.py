"""Instruction and response about programming for `sample_code_data.jsonl`.

Each pattern is written once and filled with things of business life; Python answers compile.
"""

import itertools
from collections.abc import Iterator
from string import Template

# (name in Japanese, name in code)
_THINGS = (
    ("売上", "sales"),
    ("在庫", "stock"),
    ("顧客", "customers"),
    ("注文", "orders"),
    ("請求額", "invoices"),
    ("社員", "employees"),
    ("予約", "reservations"),
)
_PYTHON: tuple[tuple[str, str], ...] = (
    (
        "${ja}の一覧 `${en}` から重複を取り除き、元の順序を保つPythonの関数を書いてください。",
        "def unique_${en}(${en}: list[str]) -> list[str]:\n    return list(dict.fromkeys(${en}))",
    ),
    (
        "${ja}のCSVファイルを読み、辞書のリストを返すPythonの関数を書いてください。文字コードはUTF-8です。",
        'import csv\n\n\ndef read_${en}(path: str) -> list[dict[str, str]]:\n    with open(path, encoding="utf-8", newline="") as file:\n        return list(csv.DictReader(file))',
    ),
    (
        "${ja}のデータを月ごとに数えるPythonの関数を書いてください。日付は `2026-07-03` の形です。",
        "from collections import Counter\n\n\ndef count_${en}_by_month(dates: list[str]) -> Counter[str]:\n    return Counter(date[:7] for date in dates)",
    ),
    (
        "${ja}の数値のリストから平均を求めるPythonの関数を書いてください。空のときは0を返します。",
        "def mean_of_${en}(${en}: list[float]) -> float:\n    return sum(${en}) / len(${en}) if ${en} else 0.0",
    ),
    (
        "${ja}のリストを指定した件数ずつに分けるPythonの関数を書いてください。",
        "from collections.abc import Iterator\n\n\ndef split_${en}(${en}: list[str], size: int) -> Iterator[list[str]]:\n    for start in range(0, len(${en}), size):\n        yield ${en}[start : start + size]",
    ),
    (
        "${ja}を表すデータクラスをPythonで定義してください。番号と名前と数量を持たせます。",
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass ${Cls}Row:\n    number: str\n    name: str\n    quantity: int = 0",
    ),
    (
        "${ja}のデータをJSON Lines形式で保存するPythonの関数を書いてください。日本語はそのまま書き出します。",
        'import json\n\n\ndef save_${en}(path: str, rows: list[dict[str, object]]) -> None:\n    with open(path, "w", encoding="utf-8") as file:\n        for row in rows:\n            file.write(json.dumps(row, ensure_ascii=False) + "\\n")',
    ),
    (
        "${ja}の辞書を値の大きい順に並べ、上位だけを返すPythonの関数を書いてください。",
        "def top_${en}(${en}: dict[str, int], limit: int = 10) -> list[tuple[str, int]]:\n    return sorted(${en}.items(), key=lambda item: item[1], reverse=True)[:limit]",
    ),
    (
        "${ja}を名前で検索するPythonの関数を書いてください。大文字と小文字は区別しません。",
        "def find_${en}(names: list[str], word: str) -> list[str]:\n    return [name for name in names if word.casefold() in name.casefold()]",
    ),
    (
        "${ja}の取得に失敗したとき、間隔を倍にしながら再試行するPythonの関数を書いてください。",
        'import time\nfrom collections.abc import Callable\n\n\ndef fetch_${en}(fetch: Callable[[], str], attempts: int = 3) -> str:\n    for attempt in range(attempts):\n        try:\n            return fetch()\n        except ConnectionError:\n            if attempt == attempts - 1:\n                raise\n            time.sleep(2**attempt)\n    raise ValueError("attempts must be positive")',
    ),
    (
        "${ja}の数量が負でないことを確かめるPythonの関数を書いてください。",
        'def check_${en}(quantity: int) -> int:\n    if quantity < 0:\n        raise ValueError(f"数量は0以上にしてください: {quantity}")\n    return quantity',
    ),
    (
        "${ja}の金額を三桁区切りの円表示にするPythonの関数を書いてください。",
        'def format_${en}(amount: int) -> str:\n    return f"{amount:,}円"',
    ),
    (
        "${ja}の集計関数 `total` をpytestで試すテストを書いてください。",
        "def total(${en}: list[int]) -> int:\n    return sum(${en})\n\n\ndef test_total_of_${en}() -> None:\n    assert total([100, 250]) == 350\n    assert total([]) == 0",
    ),
    (
        "${ja}の処理にかかった時間をログに残すPythonのデコレーターを書いてください。",
        'import functools\nimport logging\nimport time\n\n\ndef timed_${en}(function):\n    @functools.wraps(function)\n    def wrapper(*args, **kwargs):\n        start = time.perf_counter()\n        try:\n            return function(*args, **kwargs)\n        finally:\n            logging.info("%s: %.3f秒", function.__name__, time.perf_counter() - start)\n\n    return wrapper',
    ),
)
_SQL: tuple[tuple[str, str], ...] = (
    (
        "テーブル `${en}` から${ja}を新しい順に10件取り出すSQLを書いてください。",
        "SELECT *\nFROM ${en}\nORDER BY created_at DESC\nLIMIT 10;",
    ),
    (
        "テーブル `${en}` の件数を月ごとに数えるPostgreSQLのSQLを書いてください。",
        "SELECT date_trunc('month', created_at) AS month, count(*) AS total\nFROM ${en}\nGROUP BY month\nORDER BY month;",
    ),
    (
        "テーブル `${en}` で同じ `code` が二回以上登録されている${ja}を探すSQLを書いてください。",
        "SELECT code, count(*) AS duplicates\nFROM ${en}\nGROUP BY code\nHAVING count(*) > 1;",
    ),
    (
        "テーブル `${en}` の `code` に一意な索引を作るSQLを書いてください。",
        "CREATE UNIQUE INDEX ${en}_code_key ON ${en} (code);",
    ),
    (
        "テーブル `${en}` に、あれば更新しなければ追加するPostgreSQLのSQLを書いてください。",
        "INSERT INTO ${en} (code, name)\nVALUES ($$1, $$2)\nON CONFLICT (code) DO UPDATE\nSET name = EXCLUDED.name;",
    ),
    (
        "テーブル `${en}` から一年より古い${ja}を削除するPostgreSQLのSQLを書いてください。",
        "DELETE FROM ${en}\nWHERE created_at < now() - interval '1 year';",
    ),
)
_SHELL: tuple[tuple[str, str], ...] = (
    (
        "`${en}` フォルダーの中で一番大きいファイルを5つ表示するシェルのコマンドを教えてください。",
        "find ${en} -type f -exec du -h {} + | sort -rh | head -n 5",
    ),
    (
        "`${en}.csv` の行数から見出しの1行を除いた件数を表示するコマンドを教えてください。",
        "tail -n +2 ${en}.csv | wc -l",
    ),
    (
        "Shift_JISの `${en}.csv` をUTF-8に変換するコマンドを教えてください。",
        "iconv -f CP932 -t UTF-8 ${en}.csv > ${en}.utf8.csv",
    ),
    (
        "`${en}.log` から「ERROR」を含む行だけを、行番号を付けて表示するコマンドを教えてください。",
        "grep -n 'ERROR' ${en}.log",
    ),
    (
        "`${en}` フォルダーを日付入りの名前で圧縮するコマンドを教えてください。",
        'tar -czf "${en}-$$(date +%Y%m%d).tar.gz" ${en}',
    ),
    ("`${en}.jsonl` の各行から `text` だけを取り出すjqのコマンドを教えてください。", "jq -r '.text' ${en}.jsonl"),
)
_JAVASCRIPT: tuple[tuple[str, str], ...] = (
    (
        "${ja}の配列 `${en}` の合計を求めるJavaScriptの関数を書いてください。",
        "function total(${en}) {\n  return ${en}.reduce((sum, value) => sum + value, 0);\n}",
    ),
    (
        "${ja}の配列を `code` ごとにまとめるJavaScriptの関数を書いてください。",
        "function groupByCode(${en}) {\n  const groups = new Map();\n  for (const row of ${en}) {\n    groups.set(row.code, [...(groups.get(row.code) ?? []), row]);\n  }\n  return groups;\n}",
    ),
    (
        "APIの `/${en}` から${ja}を取得するJavaScriptの関数を書いてください。失敗したら例外にします。",
        "async function fetch${Cls}() {\n  const response = await fetch('/${en}');\n  if (!response.ok) {\n    throw new Error(`取得に失敗しました: $${response.status}`);\n  }\n  return response.json();\n}",
    ),
)
_CONCEPTS: tuple[tuple[str, str], ...] = (
    (
        "Pythonのリストとタプルの違いを教えてください。",
        "リストは作ったあとで要素を変更できますが、タプルは変更できません。タプルは辞書のキーにもなります。変わらない組にはタプル、増減する並びにはリストを使います。",
    ),
    (
        "gRPCとRESTの違いを簡単に説明してください。",
        "RESTはHTTPのメソッドとURLで資源を表し、多くはJSONを送ります。gRPCはprotoファイルで型の決まった手続きを定義し、HTTP/2上でバイナリーを送ります。型の検査とストリームが必要ならgRPCが向いています。",
    ),
    (
        "データベースのトランザクションとは何ですか？",
        "複数の処理をひとまとまりとして扱い、すべて成功するか、すべて取り消すかのどちらかにする仕組みです。途中で失敗しても、データは処理の前の状態に戻ります。",
    ),
    (
        "Gitで直前のコミットのメッセージを直すには、どうしますか？",
        "`git commit --amend` を使います。すでに共有したコミットを書き換えると他の人の履歴とずれるため、公開する前だけにしてください。",
    ),
    (
        "文字コードUTF-8とShift_JISの違いを教えてください。",
        "UTF-8は世界中の文字を1から4バイトで表します。Shift_JISは主に日本語の文字を1または2バイトで表します。混ぜて使うと文字化けするため、新しいファイルにはUTF-8を勧めます。",
    ),
    (
        "LoRAとは何ですか？",
        "大きな重みの行列は変えずに、小さな二つの行列の積だけを学習して足し合わせる手法です。学習するパラメーターが少ないため、メモリーと時間を節約できます。",
    ),
    (
        "単体テストと結合テストの違いを教えてください。",
        "単体テストは一つの関数やクラスを単独で確かめます。結合テストは、複数の部品をつないだときに正しく働くかを確かめます。",
    ),
    (
        "キャッシュを使うときの注意点を教えてください。",
        "元のデータが変わったときに古い値を返さないよう、有効期限や無効化の方法を決めておくことです。また、キャッシュが失われても正しく動くように作ります。",
    ),
    (
        "冪等な処理とはどういう意味ですか？",
        "同じ処理を何度行っても、一度だけ行ったときと結果が同じになる処理のことです。通信が切れたときに安心して再試行できます。",
    ),
    (
        "デッドロックを防ぐ方法を教えてください。",
        "複数のロックを取る順序をすべての処理でそろえること、ロックを持つ時間を短くすること、待ち時間に上限を設けることが有効です。",
    ),
    (
        "環境変数に秘密の値を置くときに気を付けることは何ですか？",
        "ログやエラーの文面に出さないこと、必要のない子プロセスに渡さないこと、リポジトリーに書き込まないことです。",
    ),
    (
        "計算量O(n log n)とはどういう意味ですか？",
        "データの数をnとするとき、処理の手間がおよそn×log nに比例して増えるという意味です。効率のよい並べ替えの多くがこの計算量です。",
    ),
)


def examples() -> Iterator[tuple[str, str]]:
    """Yield every instruction and response, patterns in turn so that neighbours differ."""
    yield from _CONCEPTS
    fenced = (("python", _PYTHON), ("sql", _SQL), ("bash", _SHELL), ("javascript", _JAVASCRIPT))
    patterns = [(language, *pattern) for language, group in fenced for pattern in group]
    for (japanese, english), (language, asked, code) in itertools.product(_THINGS, patterns):
        names = {"ja": japanese, "en": english, "Cls": english.capitalize()}
        yield Template(asked).substitute(names), f"```{language}\n{Template(code).substitute(names)}\n```"


def python_blocks() -> Iterator[str]:
    """Yield the code of every Python answer."""
    for _, response in examples():
        if response.startswith("```python\n"):
            yield response.removeprefix("```python\n").removesuffix("\n```")
