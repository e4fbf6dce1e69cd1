"""Words for what data are and do, in both languages."""

from __future__ import annotations

from aift.data.v1 import data_pb2

from frontend.session import say


def choice(word: str) -> str:
    """A form, part, format or encoding, with what it means where the word alone does not say it."""
    told = {
        "text": say("text（本文のみ・質問/回答）", "text (plain, or question/answer)"),
        "instruction": say("instruction / response（Alpaca）", "instruction / response (Alpaca)"),
        "messages": say("messages（OpenAI）", "messages (OpenAI)"),
        "prompt-completion": "prompt / completion",
        "conversations": say("conversations（ShareGPT）", "conversations (ShareGPT)"),
        "preference": say("chosen / rejected（選好データ）", "chosen / rejected (preference)"),
        "labeled": say("label 付き（KTO）", "labeled (KTO)"),
        "completion": say("回答だけ", "the answer only"),
        "all": say("全文", "the whole text"),
        "cp932": "Shift_JIS (cp932)",
        "utf-8": "UTF-8 / UTF-16",
        "euc-jp": "EUC-JP",
    }
    return told.get(word, word)


def bad_rows(word: str) -> str:
    """What becomes of rows with errors."""
    return {
        "refuse": say("1 行でもあれば中止", "one of them is enough to refuse the file"),
        "set-aside": say("取り分けて残りを使う", "set them aside, use the rest"),
    }.get(word, word)


def tool_turns(word: str) -> str:
    """What becomes of turns of tools."""
    return {
        "refuse": say("エラーにする", "are errors"),
        "keep": say("残す（学習はしない）", "are kept, not trained"),
    }.get(word, word)


def normalization(word: str) -> str:
    """How characters are normalised."""
    return {
        "none": say("しない", "none"),
        "halfwidth-kana": say("半角カナを全角に", "half-width kana become full width"),
        "nfkc": say("NFKC（①→1、㈱→(株)、全角英数→半角）", "NFKC (①→1, ㈱→(株), full-width letters → half width)"),
    }.get(word, word)


def job_kind(kind: data_pb2.DataJobKind.ValueType) -> str:
    """What a data job does."""
    return {
        data_pb2.DATA_JOB_KIND_VALIDATION: say("検証", "Validation"),
        data_pb2.DATA_JOB_KIND_IMPORT: say("取り込み", "Import"),
        data_pb2.DATA_JOB_KIND_PREPARATION: say("前処理", "Preparation"),
        data_pb2.DATA_JOB_KIND_TOKEN_COUNT: say("トークン計数", "Token count"),
    }.get(kind, "")


def job_phase(job: data_pb2.DataJob) -> str:
    """What a running data job is at."""
    return {
        data_pb2.DATA_JOB_PHASE_FETCHING: say("取得中", "Fetching"),
        data_pb2.DATA_JOB_PHASE_PREPARING: say("前処理中", "Preparing"),
        data_pb2.DATA_JOB_PHASE_CHECKING: say("検証中", "Checking"),
        data_pb2.DATA_JOB_PHASE_COUNTING: say("トークンを計数中", "Counting tokens"),
    }.get(job.phase, say("待機中", "Waiting"))


def script(name: str) -> str:
    """A script or a language as statistics name it."""
    return {
        "hiragana": say("ひらがな", "hiragana"),
        "katakana": say("カタカナ", "katakana"),
        "han": say("漢字", "kanji"),
        "latin": say("ラテン文字", "latin"),
        "digit": say("数字", "digits"),
        "other": say("その他", "other"),
        "ja": say("日本語", "Japanese"),
        "zh": say("中国語", "Chinese"),
        "en": say("英語", "English"),
    }.get(name, name)
