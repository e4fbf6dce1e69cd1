"""What can be wrong with a line or a row, each with its remedy in both languages.

A remedy names the field of ReadOptions and the option of the command line that stands for it. Reasons about a file as a
whole are those of `file_reasons`; reasons about what a row says (a missing field, a wrong type, roles out of order) are those of `services.text`.
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


def error(name: str, en: str, ja: str) -> Reason:
    """Keeps the version from being made."""
    return Reason(name, Severity.ERROR, en, ja)


def warning(name: str, en: str, ja: str) -> Reason:
    """Is worth a look."""
    return Reason(name, Severity.WARNING, en, ja)


NOT_UTF8 = error(
    "NOT_UTF8",
    "The text is not UTF-8; it looks like {encoding}. To have it read so, choose read.encoding {option} "
    "(--encoding {flag}). Nothing was converted or dropped.",
    "UTF-8 ではありません（{encoding} のようです）。そのとおりに読み込むには read.encoding {option}（--encoding {flag}）"
    "を指定してください。変換や削除は行っていません。",
)
FOREIGN_LINE = error(
    "NOT_UTF8",
    "The line is not UTF-8 (it looks like {encoding}), though most of the file is. Write it again in UTF-8, or have such "
    "rows set aside: read.bad_rows SET_ASIDE (--bad-rows set-aside).",
    "この行は UTF-8 ではありません（{encoding} のようです）が、ファイルの大部分は UTF-8 です。この行を UTF-8 で書き直すか、"
    "こうした行を取り分けて（read.bad_rows SET_ASIDE、--bad-rows set-aside）ください。",
)
BROKEN_UTF8 = error(
    "NOT_UTF8",
    "The line holds bytes that are not UTF-8, nor of any encoding that we know. Correct or remove them.",
    "UTF-8 として読めないバイトがあり、既知の文字コードでもありません。修正するか取り除いてください。",
)
LINE_TOO_LONG = error(
    "LINE_TOO_LONG",
    "The line is longer than {limit_bytes} bytes. Split the text into several rows.",
    "1 行が {limit_bytes} バイトを超えています。複数の行に分けてください。",
)
INVALID_JSON = error(
    "INVALID_JSON",
    "The line is not valid JSON: {detail}. Correct it; text belongs between double quotes, with \\n for a line break and "
    '\\" for a quote. Or have such rows set aside: read.bad_rows SET_ASIDE (--bad-rows set-aside).',
    "JSON として正しくありません。{detail_ja}。修正してください。文字列は二重引用符で囲み、改行は \\n、引用符は "
    '\\" と書きます。または、こうした行を取り分けて（read.bad_rows SET_ASIDE、--bad-rows set-aside）ください。',
)
NESTED_TOO_DEEPLY = error(
    "NESTED_TOO_DEEPLY",
    "The JSON is nested too deeply to be a row. Keep the fields of its form only.",
    "JSON の入れ子が深すぎます。その形式の項目だけにしてください。",
)
NOT_ONE_OBJECT_PER_LINE = error(
    "NOT_ONE_OBJECT_PER_LINE",
    "The file is JSON, but not one object a line ({shape}). Write each object on a line of its own, "
    "for example: jq -c '{filter}' IN.json > OUT.jsonl.",
    "JSON ですが、1 行に 1 オブジェクトになっていません（{shape_ja}）。各オブジェクトを 1 行ずつに書き直してください。"
    "例: jq -c '{filter}' IN.json > OUT.jsonl",
)
OBJECTS_ON_OTHER_LINES = error(
    "NOT_ONE_OBJECT_PER_LINE",
    "The file is JSON, but not one object a line ({shape}). Read it as JSON (read.format JSON, --format json), or write "
    "each object on a line of its own, for example: jq -c '{filter}' IN.json > OUT.jsonl.",
    "JSON ですが、1 行に 1 オブジェクトになっていません（{shape_ja}）。JSON として読み込む（read.format JSON、--format json）か、"
    "各オブジェクトを 1 行ずつに書き直してください。例: jq -c '{filter}' IN.json > OUT.jsonl",
)
NOT_AN_OBJECT = error(
    "NOT_AN_OBJECT",
    'The line is JSON, but not an object: it is {type}. Write {{"text": "…"}} or another of the forms.',
    'JSON ですがオブジェクトではありません（{type_ja}）。{{"text": "…"}} などの形式で書いてください。',
)
DUPLICATE_FIELD = error(
    "DUPLICATE_FIELD",
    "An object has the field {field} more than once, so that all but the last of its values would be lost. Keep one of "
    "them, or have such rows set aside: read.bad_rows SET_ASIDE (--bad-rows set-aside).",
    "1 つのオブジェクトに項目「{field}」が重複しています。このままでは最後の値以外が失われます。1 つだけ残すか、"
    "こうした行を取り分けて（read.bad_rows SET_ASIDE、--bad-rows set-aside）ください。",
)
NON_FINITE_NUMBER = error(
    "NON_FINITE_NUMBER",
    "The line holds {value}, which is no JSON number or too large for one. Remove the field or write a number.",
    "{value} は JSON の数値ではないか、大きすぎます。フィールドを取り除くか、数値を書いてください。",
)
LONE_SURROGATE = error(
    "LONE_SURROGATE",
    "The text holds half of a surrogate pair (\\ud800 to \\udfff), which is no character. "
    "Write the character itself, or both halves.",
    "サロゲートペアの片方（\\ud800〜\\udfff）だけが含まれています。文字そのものか、両方を書いてください。",
)
DUPLICATE_ROWS = warning(
    "DUPLICATE_ROWS",
    "Rows repeat earlier ones exactly; the model learns them by heart more easily. Remove what is not meant.",
    "同じ内容の行が繰り返されています。モデルが丸暗記しやすくなるため、意図しないものは取り除いてください。",
)
UNUSED_FIELDS = warning(
    "UNUSED_FIELDS",
    "The form of the rows has no place for these fields, so that the model does not see them: {fields}. Where they are "
    "meant to be, write the rows as messages (turns of system, user and assistant); else there is nothing to do.",
    "行の形式に含まれないため、次の項目はモデルに渡りません: {fields_ja}。学習に使うには messages 形式（system・user・assistant "
    "の発話）に書き直してください。使わないつもりなら、そのままで構いません。",
)
CONTROL_CHARACTERS = warning(
    "CONTROL_CHARACTERS",
    "The text holds control characters, which the model would learn to write. Remove what is not meant.",
    "制御文字が含まれています。モデルがそのまま学習するため、意図しないものは取り除いてください。",
)
REPLACEMENT_CHARACTERS = warning(
    "REPLACEMENT_CHARACTERS",
    "The text holds U+FFFD, the sign of an earlier conversion that lost characters. Convert the source again.",
    "U+FFFD（文字化けの跡）が含まれています。元のデータからもう一度変換してください。",
)
MIXED_FORMS = error(
    "MIXED_FORMS",
    "The row has the form {found}, but most rows have the form {form}. Bring all rows into one form, "
    "or split the file.",
    "この行は {found} 形式ですが、多くの行は {form} 形式です。形式をそろえるか、ファイルを分けてください。",
)
NO_COMPLETION = error(
    "NO_COMPLETION",
    "Only completions were asked to be trained, but the text has no known markers such as 質問: / 回答:. "
    "Write them, or train the whole text.",
    "回答部分のみの学習が指定されましたが、質問: / 回答: などの目印がテキストにありません。"
    "目印を書くか、全文の学習を選んでください。",
)
NO_MARKERS = warning(
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
    "TOOL_TURN": (
        "Have such turns kept, shown to the model but not trained: read.tool_turns KEEP (--tool-turns keep). Or remove them.",
        "残す（モデルに見せるが学習しない）には read.tool_turns KEEP（--tool-turns keep）を指定し、不要なら取り除いてください。",
    ),
    "WRONG_ROLE_ORDER": ("Put the messages in order.", "メッセージの順番を直してください。"),
    "MISSING_COLUMN": (
        "Correct the mapping of columns, or write the column into every row.",
        "列の対応付けを直すか、すべての行にその列を書いてください。",
    ),
    "EQUAL_ANSWERS": ("Correct one of them or remove the row.", "どちらかを直すか、行を取り除いてください。"),
    "UNKNOWN_FORM": ("Or rename them.", "または項目の名前を直してください。"),
}
"""What to do about the problems that `services.text` finds in a row, where its own words do not say it."""
