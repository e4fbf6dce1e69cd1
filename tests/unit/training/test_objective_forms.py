"""Which forms of rows an objective learns from: admission and the trainer say the same, as the page does elsewhere."""

from typing import Any, get_args

import pytest

from services.text.markers import Markers
from services.text.problems import ProblemError
from services.text.rows import Form, parse
from services.text.template import for_rows
from services.training_service.admission import forms_of
from services.training_service.trainer.failures import DataError
from services.training_service.trainer.hyperparameters import Objective
from services.training_service.trainer.objective import examples_for, template_for

TURNS = [{"role": "user", "content": "問い"}, {"role": "assistant", "content": "答え"}]
ROWS: dict[Form, dict[str, Any]] = {
    Form.TEXT: {"text": "質問: 問い\n回答: 答え"},
    Form.INSTRUCTION: {"instruction": "問い", "response": "答え"},
    Form.PROMPT_COMPLETION: {"prompt": "問い", "completion": "答え"},
    Form.MESSAGES: {"messages": TURNS},
    Form.CONVERSATIONS: {"conversations": [{"from": "human", "value": "問い"}, {"from": "gpt", "value": "答え"}]},
    Form.PREFERENCE: {"prompt": "問い", "chosen": "答え", "rejected": "違う答え"},
    Form.LABELED: {"prompt": "問い", "completion": "答え", "label": True},
}


def learns(objective: Objective, form: Form) -> bool:
    """Whether the trainer takes rows of this form."""
    markers = Markers("質問: ", "\n回答: ") if form is Form.TEXT else None
    try:
        template = template_for(for_rows(form, markers), objective)
        examples_for([parse(ROWS[form], form, template.markers)], objective)
    except (ProblemError, DataError):
        return False
    return True


@pytest.mark.parametrize("objective", get_args(Objective))
def test_the_trainer_takes_the_forms_that_admission_lets_in(objective: Objective) -> None:
    assert {form for form in Form if learns(objective, form)} == set(forms_of(objective))
