"""What can be wrong with a file as a whole or with a line, each with its remedy in both languages.

Reasons about what a row says (a missing field, a wrong type, roles out of order) are those of `services.text`.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.data_service.report import Severity


@dataclass(frozen=True)
class Reason:
    """A reason with its texts; `{names}` are filled in where it is found."""

    name: str
    severity: Severity
    en: str
    ja: str


def _error(name: str, en: str, ja: str) -> Reason:
    return Reason(name, Severity.ERROR, en, ja)


def _warning(name: str, en: str, ja: str) -> Reason:
    return Reason(name, Severity.WARNING, en, ja)


EMPTY_FILE = _error(
    "EMPTY_FILE",
    "The file holds no row. Write one row or more, such as one JSON object a line, and upload it again.",
    "ファイルに行がありません。1 行に 1 つの JSON オブジェクトなどの形で行を書いて、もう一度アップロードしてください。",
)
BINARY, BINARY_JA = "a binary file", "バイナリファイル"
NOT_TEXT = _error(
    "NOT_TEXT",
    "This is not a text file; it looks like {kind}. Export the data as JSONL (one JSON object a line, UTF-8).",
    "テキストファイルではありません（{kind_ja}のようです）。"
    "JSONL（1 行に 1 つの JSON オブジェクト、UTF-8）で書き出してください。",
)
NOT_UTF8 = _error(
    "NOT_UTF8",
    "The text is not UTF-8; it looks like {encoding}. Choose the encoding {option} to have it read so. "
    "Nothing was converted or dropped.",
    "UTF-8 ではありません（{encoding} のようです）。そのとおりに読み込むには、文字コード {option} を指定してください。"
    "変換や削除は行っていません。",
)
BROKEN_UTF8 = _error(
    "NOT_UTF8",
    "The line holds bytes that are not UTF-8, nor of any encoding that we know. Correct or remove them.",
    "UTF-8 として読めないバイトがあり、既知の文字コードでもありません。修正するか取り除いてください。",
)
LINE_TOO_LONG = _error(
    "LINE_TOO_LONG",
    "The line is longer than {limit_bytes} bytes. Split the text into several rows.",
    "1 行が {limit_bytes} バイトを超えています。複数の行に分けてください。",
)
INVALID_JSON = _error(
    "INVALID_JSON",
    "The line is not valid JSON ({detail}). Correct it; text belongs between double quotes, "
    'with \\n for a line break and \\" for a quote.',
    "JSON として正しくありません（{detail}）。修正してください。文字列は二重引用符で囲み、"
    '改行は \\n、引用符は \\" と書きます。',
)
NESTED_TOO_DEEPLY = _error(
    "NESTED_TOO_DEEPLY",
    "The JSON is nested too deeply to be a row. Keep the fields of its form only.",
    "JSON の入れ子が深すぎます。その形式の項目だけにしてください。",
)
NOT_ONE_OBJECT_PER_LINE = _error(
    "NOT_ONE_OBJECT_PER_LINE",
    "The file is JSON, but not one object a line ({shape}). Write each object on a line of its own, "
    "for example: jq -c '{filter}' IN.json > OUT.jsonl.",
    "JSON ですが、1 行に 1 オブジェクトになっていません（{shape_ja}）。各オブジェクトを 1 行ずつに書き直してください。"
    "例: jq -c '{filter}' IN.json > OUT.jsonl",
)
OBJECTS_ON_OTHER_LINES = _error(
    "NOT_ONE_OBJECT_PER_LINE",
    "The file is JSON, but not one object a line ({shape}). Read it as JSON (read.format JSON, --format json), or write "
    "each object on a line of its own, for example: jq -c '{filter}' IN.json > OUT.jsonl.",
    "JSON ですが、1 行に 1 オブジェクトになっていません（{shape_ja}）。JSON として読み込む（read.format JSON、--format json）か、"
    "各オブジェクトを 1 行ずつに書き直してください。例: jq -c '{filter}' IN.json > OUT.jsonl",
)
NOT_AN_OBJECT = _error(
    "NOT_AN_OBJECT",
    'The line is JSON, but not an object: it is {type}. Write {{"text": "…"}} or another of the forms.',
    'JSON ですがオブジェクトではありません（{type_ja}）。{{"text": "…"}} などの形式で書いてください。',
)
NON_FINITE_NUMBER = _error(
    "NON_FINITE_NUMBER",
    "The line holds {value}, which is no JSON number or too large for one. Remove the field or write a number.",
    "{value} は JSON の数値ではないか、大きすぎます。フィールドを取り除くか、数値を書いてください。",
)
LONE_SURROGATE = _error(
    "LONE_SURROGATE",
    "The text holds half of a surrogate pair (\\\\ud800 to \\\\udfff), which is no character. "
    "Write the character itself, or both halves.",
    "サロゲートペアの片方（\\\\ud800〜\\\\udfff）だけが含まれています。文字そのものか、両方を書いてください。",
)
NO_GOOD_ROWS = _error(
    "NO_GOOD_ROWS",
    "Every row has an error, so that all were set aside and nothing is left. Correct what the other findings say.",
    "すべての行にエラーがあり、取り分けた結果、使える行が残りませんでした。ほかの指摘に従って修正してください。",
)
TRUNCATED = _error(
    "COMPRESSION_TRUNCATED",
    "The {kind} file ends before its end: a part of it is missing. Upload the whole file.",
    "{kind} ファイルが途中で終わっています。完全なファイルをアップロードしてください。",
)
CORRUPT = _error(
    "COMPRESSION_CORRUPT",
    "The {kind} file is damaged and cannot be unpacked. Compress the data again.",
    "{kind} ファイルが壊れていて展開できません。もう一度圧縮してください。",
)
BOMB = _error(
    "EXPANDS_TOO_MUCH",
    "The {kind} file unpacks to more than {limit}, which is more than is allowed. Split the data, or upload them "
    "as they are.",
    "{kind} ファイルの展開後の大きさが上限（{limit}）を超えます。データを分割するか、圧縮せずにアップロードしてください。",
)
UNDECODABLE = _error(
    "NOT_IN_ENCODING",
    "The file was to be read as {encoding}, but holds bytes that are not of it. Choose the right encoding, or "
    "correct the file.",
    "{encoding} として読むよう指定されましたが、そう読めないバイトがあります。文字コードを選び直すか、ファイルを修正してください。",
)
ELEMENT_BROKEN = _error(
    "INVALID_JSON",
    "This element of the array is not valid JSON ({detail}); reading went on at the next one. Correct it.",
    "配列のこの要素は JSON として正しくありません（{detail}）。次の要素から読み続けました。修正してください。",
)
ARRAY_BROKEN = _error(
    "ARRAY_BROKEN",
    "The array is not valid JSON from here on ({detail}), and where its next element begins cannot be told for "
    "certain: nothing behind was read, nor set aside. Correct it, or write one JSON object a line.",
    "ここから先が JSON として正しくなく（{detail}）、次の要素の始まりを確実には判定できません。"
    "以降は読み取りも取り分けもしていません。修正するか、1 行に 1 つのオブジェクトで書いてください。",
)
AFTER_ARRAY = _error(
    "CONTENT_AFTER_ARRAY",
    "Something follows the end of the JSON array. Write one array, or one JSON object a line.",
    "JSON 配列の後に続きがあります。1 つの配列にするか、1 行に 1 つのオブジェクトを書いてください。",
)
MISPLACED_QUOTE = _error(
    "MISPLACED_QUOTE",
    "A quote of this line is not closed, or stands within a field ({detail}); reading went on at the next line. "
    'Close it, and write " within a field as "".',
    "この行の引用符が閉じていないか、フィールドの途中にあります（{detail}）。次の行から読み続けました。"
    '引用符を閉じ、フィールド内の " は "" と書いてください。',
)
UNCLOSED_QUOTE = _error(
    "UNCLOSED_QUOTE",
    "A quote that opens here is not closed as it should be ({detail}), and where the next row begins cannot be told "
    'for certain: nothing behind was read, nor set aside. Close it, and write " within a field as "".',
    "ここで始まる引用符が正しく閉じておらず（{detail}）、次の行の始まりを確実には判定できません。"
    "以降は読み取りも取り分けもしていません。引用符を閉じ、"
    'フィールド内の " は "" と書いてください。',
)
RAGGED_ROW = _error(
    "WRONG_COLUMN_COUNT",
    "The row has {found} columns, but the header has {expected}. Put text that holds the separator between quotes.",
    "列が {found} 個ありますが、見出しは {expected} 個です。区切り文字を含む文字列は引用符で囲んでください。",
)
BAD_HEADER = _error(
    "BAD_HEADER",
    "The first line must name every column, each once; {detail}. Write a header.",
    "1 行目に、すべての列の名前を重複なく書いてください（{detail_ja}）。",
)
FORMULA = _warning(
    "FORMULA",
    "The text looks like a formula of a spreadsheet; it is kept as text. Export values instead of formulas.",
    "表計算の式のような文字列です（文字列のまま保存します）。式ではなく値を書き出してください。",
)
BINARY_COLUMN = _error(
    "BINARY_COLUMN",
    "The column holds bytes, not text: {type}. Convert it to text, or name the columns to read.",
    "列の内容が文字列ではなくバイト列です（{type}）。文字列に変換するか、読み込む列を指定してください。",
)
PARQUET_BROKEN = _error(
    "PARQUET_UNREADABLE",
    "The Parquet file cannot be read: {detail}. Write it again.",
    "Parquet ファイルを読めません（{detail}）。もう一度書き出してください。",
)
TOO_FEW_ROWS = _warning(
    "TOO_FEW_ROWS",
    "The data have {rows} rows. At least 100 are needed for a useful result, 1,000 or more are better.",
    "データは {rows} 行です。少なくとも 100 行、できれば 1,000 行以上を用意してください。",
)
DUPLICATE_ROWS = _warning(
    "DUPLICATE_ROWS",
    "Rows repeat earlier ones exactly; the model learns them by heart more easily. Remove what is not meant.",
    "同じ内容の行が繰り返されています。モデルが丸暗記しやすくなるため、意図しないものは取り除いてください。",
)
CONTROL_CHARACTERS = _warning(
    "CONTROL_CHARACTERS",
    "The text holds control characters, which the model would learn to write. Remove what is not meant.",
    "制御文字が含まれています。モデルがそのまま学習するため、意図しないものは取り除いてください。",
)
REPLACEMENT_CHARACTERS = _warning(
    "REPLACEMENT_CHARACTERS",
    "The text holds U+FFFD, the sign of an earlier conversion that lost characters. Convert the source again.",
    "U+FFFD（文字化けの跡）が含まれています。元のデータからもう一度変換してください。",
)
MIXED_FORMS = _error(
    "MIXED_FORMS",
    "The row has the form {found}, but most rows have the form {form}. Bring all rows into one form, "
    "or split the file.",
    "この行は {found} 形式ですが、多くの行は {form} 形式です。形式をそろえるか、ファイルを分けてください。",
)
NO_COMPLETION = _error(
    "NO_COMPLETION",
    "Only completions were asked to be trained, but the text has no known markers such as 質問: / 回答:. "
    "Write them, or train the whole text.",
    "回答部分のみの学習が指定されましたが、質問: / 回答: などの目印がテキストにありません。"
    "目印を書くか、全文の学習を選んでください。",
)
NO_MARKERS = _warning(
    "NO_MARKERS",
    "The text lacks the markers {markers} that most rows have; it would be trained whole. Write them.",
    "多くの行にある目印 {markers} がこの行にはなく、全文が学習されます。目印を書いてください。",
)

REMEDIES: dict[str, tuple[str, str]] = {
    "MISSING_FIELD": (
        "Write the field into every row, or choose another form (--form).",
        "すべての行にこの項目を書くか、別の形式（--form）を選んでください。",
    ),
    "WRONG_TYPE": ("Write the value in that type.", "その型で値を書いてください。"),
    "EMPTY_FIELD": ("Fill it in or remove the row.", "内容を書くか、行を取り除いてください。"),
    "UNKNOWN_ROLE": ("Rename the role.", "role の名前を直してください。"),
    "WRONG_ROLE_ORDER": ("Put the messages in order.", "メッセージの順番を直してください。"),
    "MISSING_COLUMN": (
        "Correct the mapping of columns, or write the column into every row.",
        "列の対応付けを直すか、すべての行にその列を書いてください。",
    ),
    "EQUAL_ANSWERS": ("Correct one of them or remove the row.", "どちらかを直すか、行を取り除いてください。"),
    "UNKNOWN_FORM": ("Or rename them.", "または項目の名前を直してください。"),
}
"""What to do about the problems that `services.text` finds in a row, where its own words do not say it."""
