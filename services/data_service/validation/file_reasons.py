"""What can be wrong with a file as a whole, or with rows of a format, each with its remedy in both languages."""

from __future__ import annotations

from services.data_service.validation.reasons import error, warning

EMPTY_FILE = error(
    "EMPTY_FILE",
    "The file holds no row. Write one row or more, such as one JSON object a line, and upload it again.",
    "ファイルに行がありません。1 行に 1 つの JSON オブジェクトなどの形で行を書いて、もう一度アップロードしてください。",
)
BINARY, BINARY_JA = "a binary file", "バイナリファイル"
NOT_TEXT = error(
    "NOT_TEXT",
    "This is not a text file; it looks like {kind}. Export the data as JSONL (one JSON object a line, UTF-8).",
    "テキストファイルではありません（{kind_ja}のようです）。"
    "JSONL（1 行に 1 つの JSON オブジェクト、UTF-8）で書き出してください。",
)
NO_GOOD_ROWS = error(
    "NO_GOOD_ROWS",
    "Every row has an error, so that all were set aside and nothing is left. Correct what the other findings say.",
    "すべての行にエラーがあり、取り分けた結果、使える行が残りませんでした。ほかの指摘に従って修正してください。",
)
TRUNCATED = error(
    "COMPRESSION_TRUNCATED",
    "The {kind} file ends before its end: a part of it is missing. Upload the whole file.",
    "{kind} ファイルが途中で終わっています。完全なファイルをアップロードしてください。",
)
CORRUPT = error(
    "COMPRESSION_CORRUPT",
    "The {kind} file is damaged and cannot be unpacked. Compress the data again.",
    "{kind} ファイルが壊れていて展開できません。もう一度圧縮してください。",
)
BOMB = error(
    "EXPANDS_TOO_MUCH",
    "The {kind} file unpacks to more than {limit}, which is more than is allowed. Split the data, or upload them "
    "as they are.",
    "{kind} ファイルの展開後の大きさが上限（{limit}）を超えます。データを分割するか、圧縮せずにアップロードしてください。",
)
UNDECODABLE = error(
    "NOT_IN_ENCODING",
    "The file was to be read as {encoding}, but holds bytes that are not of it. Choose the right one "
    "(read.encoding, --encoding), or correct the file.",
    "{encoding} として読むよう指定されましたが、そう読めないバイトがあります。文字コード（read.encoding、--encoding）を選び直すか、"
    "ファイルを修正してください。",
)
ELEMENT_BROKEN = error(
    "INVALID_JSON",
    "This element of the array is not valid JSON: {detail}. Reading went on at the next one. Correct it.",
    "配列のこの要素は JSON として正しくありません。{detail_ja}。次の要素から読み続けました。修正してください。",
)
ARRAY_BROKEN = error(
    "ARRAY_BROKEN",
    "The JSON is not valid from here on: {detail}. Where its next element begins cannot be told for certain: nothing "
    "behind was read, nor set aside. Correct it, or write one JSON object a line.",
    "ここから先が JSON として正しくありません。{detail_ja}。次の要素の始まりを確実には判定できないため、"
    "以降は読み取りも取り分けもしていません。修正するか、1 行に 1 つのオブジェクトで書いてください。",
)
AFTER_ARRAY = error(
    "CONTENT_AFTER_ARRAY",
    "Something follows the end of the JSON array. Write one array, or one JSON object a line.",
    "JSON 配列の後に続きがあります。1 つの配列にするか、1 行に 1 つのオブジェクトを書いてください。",
)
MISPLACED_QUOTE = error(
    "MISPLACED_QUOTE",
    "A quote of this line is not closed, or stands within a field ({detail}); reading went on at the next line. "
    'Close it, and write " within a field as "".',
    "この行の引用符が閉じていないか、フィールドの途中にあります（{detail_ja}）。次の行から読み続けました。"
    '引用符を閉じ、フィールド内の " は "" と書いてください。',
)
UNCLOSED_QUOTE = error(
    "UNCLOSED_QUOTE",
    "A quote that opens here is not closed as it should be ({detail}), and where the next row begins cannot be told "
    'for certain: nothing behind was read, nor set aside. Close it, and write " within a field as "".',
    "ここで始まる引用符が正しく閉じておらず（{detail_ja}）、次の行の始まりを確実には判定できません。"
    "以降は読み取りも取り分けもしていません。引用符を閉じ、"
    'フィールド内の " は "" と書いてください。',
)
RAGGED_ROW = error(
    "WRONG_COLUMN_COUNT",
    "The row has {found} columns, but the header has {expected}. Put text that holds the separator between quotes.",
    "列が {found} 個ありますが、見出しは {expected} 個です。区切り文字を含む文字列は引用符で囲んでください。",
)
BAD_HEADER = error(
    "BAD_HEADER",
    "The first line must name every column, each once; {detail}. Write a header.",
    "1 行目に、すべての列の名前を重複なく書いてください（{detail_ja}）。",
)
FORMULA = warning(
    "FORMULA",
    "The text looks like a formula of a spreadsheet; it is kept as text. Export values instead of formulas.",
    "表計算の式のような文字列です（文字列のまま保存します）。式ではなく値を書き出してください。",
)
BINARY_COLUMN = error(
    "BINARY_COLUMN",
    "The column {column} holds bytes, not text: {type}. Convert it to text, or name the columns to read (read.columns; "
    "for example --column text=text).",
    "列 {column} の内容が文字列ではなくバイト列です（{type}）。文字列に変換するか、読み込む列を指定してください"
    "（read.columns、例: --column text=text）。",
)
PARQUET_BROKEN = error(
    "PARQUET_UNREADABLE",
    "The Parquet file is damaged, or uses something that cannot be read here. Write it again. Details: {detail}",
    "Parquet ファイルが壊れているか、ここでは読めない書き方です。もう一度書き出してください。詳細: {detail}",
)
NOT_PARQUET = error(
    "PARQUET_UNREADABLE",
    "The file is no Parquet: it does not begin with PAR1. Leave the format to be detected, or choose the right one "
    "(read.format, --format).",
    "Parquet ファイルではありません（先頭が PAR1 ではありません）。形式の指定をやめて自動判定にするか、"
    "正しい形式（read.format、--format）を選んでください。",
)
PARQUET_CUT = error(
    "PARQUET_UNREADABLE",
    "The Parquet file ends before its end (PAR1 is missing there): a part of it was lost. Upload the whole file.",
    "Parquet ファイルが途中で終わっています（末尾に PAR1 がありません）。完全なファイルをアップロードしてください。",
)
FOREIGN_END = error(
    "NOT_UTF8",
    "From here on the text is not UTF-8 (it looks like {encoding}), though it is before. Write the line again in UTF-8; "
    "nothing behind was read.",
    "ここまでは UTF-8 ですが、ここからは UTF-8 ではありません（{encoding} のようです）。この行を UTF-8 で書き直してください。"
    "以降は読み取っていません。",
)
TOO_FEW_ROWS = warning(
    "TOO_FEW_ROWS",
    "The data have {rows} rows. At least 100 are needed for a useful result, 1,000 or more are better.",
    "データは {rows} 行です。少なくとも 100 行、できれば 1,000 行以上を用意してください。",
)
