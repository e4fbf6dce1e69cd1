"""Whether rows with labels have answers of both kinds, which KTO learns from."""

import math
from collections.abc import Sequence

from services.text.rows import Form
from services.training_service.notes import Note
from services.training_service.resolution import LABELS_AT_ONCE, ResolvedRows, Resolver
from services.training_service.trainer.hyperparameters import Objective

_LOOKS = 10


async def label_notes(resolver: Resolver, rows: ResolvedRows, objective: Objective) -> Sequence[Note]:
    """What to know where all rows that were looked at have the same label. Many data sets are sorted by it, so looks are
    spread from the first row to the last."""
    if objective != "kto" or rows.form is not Form.LABELED:
        return []
    seen: dict[int, bool] = {}
    looks = min(_LOOKS, math.ceil(rows.rows / LABELS_AT_ONCE))
    for look in range(looks):
        offset = round(look * (rows.rows - LABELS_AT_ONCE) / max(looks - 1, 1)) if look else 0
        seen |= await resolver.labels(rows, offset)
        if len(set(seen.values())) > 1:
            return []
    return [_one_label(seen, rows.rows)] if seen else []


def _one_label(seen: dict[int, bool], rows: int) -> Note:
    there, lacking = ("true", "false") if all(seen.values()) else ("false", "true")
    if len(seen) == rows:
        en, ja = f"All {rows:,} rows have", f"全 {rows:,} 行の"
    else:
        en = f"All {len(seen):,} rows that were looked at, of {rows:,}, have"
        ja = f"{rows:,} 行のうち確認した {len(seen):,} 行すべての"
    return Note(
        en=f"{en} the label {there}; KTO learns by comparing wanted answers with unwanted ones. Add rows with the label "
        f"{lacking}.",
        ja=f"{ja} label が {there} です。KTO は望ましい回答とそうでない回答の比較から学習します。label が {lacking} の行を"
        "追加してください。",
    )
