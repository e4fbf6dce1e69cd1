"""Tokens are chosen as the parameters say, in any batch."""

from __future__ import annotations

import torch

from services.inference_service.engines.sampler import Choice, choose, keep_likeliest, penalise_repetition


def choice(**changes: float) -> Choice:
    values = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "seed": 7} | changes
    return Choice(**values)  # type: ignore[arg-type]


def nothing_seen(rows: int, vocabulary: int) -> torch.Tensor:
    return torch.zeros(rows, vocabulary, dtype=torch.bool)


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.1, 3.0, 2.9], [5.0, 1.0, 1.0]])
    assert choose(logits, nothing_seen(2, 3), [choice(temperature=0), choice(temperature=0)]) == [1, 0]


def test_top_k_and_top_p_leave_only_the_likeliest() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.15, 0.05]] * 3)
    kept = keep_likeliest(probabilities, torch.tensor([2, 0, 0]), torch.tensor([1.0, 0.7, 1e-9]))
    assert (kept > 0).sum(-1).tolist() == [2, 2, 1]


def test_repetition_penalty_lowers_seen_tokens_of_either_sign() -> None:
    logits = torch.tensor([[2.0, -2.0, 1.0]])
    seen = torch.tensor([[True, True, False]])
    assert penalise_repetition(logits, seen, torch.tensor([2.0])).tolist() == [[1.0, -4.0, 1.0]]


def test_the_same_seed_gives_the_same_tokens_alone_and_in_a_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    steps = [torch.randn(1, 50, generator=generator) for _ in range(20)]
    alone = choice(seed=3)
    tokens_alone = [choose(logits, nothing_seen(1, 50), [alone])[0] for logits in steps]
    beside = [choice(seed=1), choice(seed=3), choice(temperature=0)]
    tokens_beside = [choose(logits.expand(3, -1), nothing_seen(3, 50), beside)[1] for logits in steps]
    assert tokens_beside == tokens_alone
    assert len(set(tokens_alone)) > 5


def test_draws_follow_the_probabilities() -> None:
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    drawing = choice(seed=11)
    counts = [0, 0, 0]
    for _ in range(3000):
        counts[choose(logits, nothing_seen(1, 3), [drawing])[0]] += 1
    assert [round(count / 3000, 1) for count in counts] == [0.7, 0.2, 0.1]
