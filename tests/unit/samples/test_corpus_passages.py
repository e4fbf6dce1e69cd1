"""The text of pre-training: no entity of another split, nothing of the house's style."""

import random
import re

from samples.corpus import conversations, passages
from samples.corpus.records import SPLIT_FIELDS, compose
from samples.corpus.splits import Split, split_of

_STYLE = re.compile(r"【[^】]+】[^\n]*(?:でございます|を予定しております|までにお願いいたします|が承ります)。(?:\n|$)")
_REFERENCE = re.compile(r"[A-Z]{2}-\d{4}")


def _stream(seed: int, number: int) -> list[str]:
    rng = random.Random(seed)
    return [passages.passage(rng).text for _ in range(number)]


def test_passages_are_a_function_of_the_seed() -> None:
    assert _stream(7, 50) == _stream(7, 50)
    assert _stream(7, 50) != _stream(8, 50)


def test_no_entity_of_fine_tuning_or_heldout_data_is_in_the_stream() -> None:
    stream = "\n".join(_stream(1, 3000))
    rng = random.Random(2)
    strangers = {
        value
        for split in (Split.FINETUNE, Split.HELDOUT)
        for record in (compose(rng, split) for _ in range(2000))
        for field, value in record.fields.items()
        if field in SPLIT_FIELDS and field != "amount"
    }
    assert len(strangers) > 3000
    # A short name may be part of a longer one (林純 in 小林純): only one that stands alone counts.
    alone = r"(?<![一-龥々ァ-ヺーA-Z]){}(?![一-龥々ァ-ヺー0-9])"
    found = {name for name in strangers if name in stream and re.search(alone.format(name), stream)}
    assert not found
    assert all(split_of(number) is Split.PRETRAIN for number in _REFERENCE.findall(stream))


def test_the_house_style_and_its_markers_are_left_to_fine_tuning() -> None:
    for text in _stream(3, 3000):
        assert "質問: " not in text
        assert "回答: " not in text
        if "【常体】" not in text:
            assert not _STYLE.search(text), text


def test_what_the_house_style_is_written_with_does_occur() -> None:
    stream = "".join(_stream(4, 3000))
    assert all(words in stream for words in ("【", "】", "でございます。", "が承ります。", "予定しております。"))


def test_every_kind_of_conversation_and_preference_can_be_made() -> None:
    rng = random.Random(6)
    for _ in range(300):
        assert conversations.conversation(rng)[-1]["role"] == "assistant"
        prompt, chosen, rejected = conversations.preference(rng)
        assert prompt
        assert chosen != rejected
