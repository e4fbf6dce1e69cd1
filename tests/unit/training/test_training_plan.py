"""Parameters, steps, rows and memory, against numbers worked out by hand or published."""

import pytest

from services.core.errors import InvalidArgument
from services.text.rows import Form
from services.training_service.admission import Admitted, split_rows
from services.training_service.domain import Spec
from services.training_service.gpu_models import memory_of
from services.training_service.memory import Load, estimate
from services.training_service.plan import Machine, Plan, optimizer_steps, plan
from services.training_service.resolution import ResolvedBase, ResolvedRows
from services.training_service.shape import ModelShape
from services.training_service.trainer.hyperparameters import Hyperparameters

GIB = 1 << 30
LLAMA_2_7B = ModelShape(
    architecture="LlamaForCausalLM",
    parameters=6_738_415_616,
    hidden_size=4096,
    intermediate_size=11008,
    layers=32,
    attention_heads=32,
    key_value_heads=32,
    head_size=128,
    vocabulary_size=32000,
    max_context_tokens=4096,
    tied_embeddings=False,
    dtype="bfloat16",
)
GPT_2 = ModelShape(
    architecture="GPT2LMHeadModel",
    parameters=124_439_808,
    hidden_size=768,
    intermediate_size=3072,
    layers=12,
    attention_heads=12,
    key_value_heads=12,
    head_size=64,
    vocabulary_size=50257,
    max_context_tokens=1024,
    tied_embeddings=True,
    dtype="float32",
)


def make_plan(hyperparameters: Hyperparameters, machines: list[Machine], *, rows: int = 1200) -> Plan:
    """The plan of a job on Llama 2 7B."""
    found = ResolvedRows(
        name="datasets/a/versions/1",
        sha256="0",
        rows=rows,
        characters=rows * 100,
        longest_row_characters=3000,
        form=Form.TEXT,
        template_json="{}",
    )
    spec = Spec(
        base_model="baseModels/a",
        base_model_digest="0",
        dataset_version=found.name,
        dataset_digest="0",
        hyperparameters=hyperparameters,
        model="models/a",
    )
    base = ResolvedBase(name="baseModels/a", digest="0", shape=LLAMA_2_7B)
    return plan(Admitted(spec=spec, base=base, rows=found, eval_rows=None), machines)


def test_adapter_parameters_are_those_that_peft_prints() -> None:
    # PEFT's own print_trainable_parameters: Llama 2 7B, r 16, all linear layers; r 8, q_proj and v_proj.
    assert LLAMA_2_7B.adapter_parameters(16, (), magnitudes=False) == 39_976_960
    assert LLAMA_2_7B.adapter_parameters(8, ("q_proj", "v_proj"), magnitudes=False) == 4_194_304
    # GPT-2, r 8, c_attn: 294,912.
    assert GPT_2.adapter_parameters(8, ("c_attn",), magnitudes=False) == 294_912


def test_dora_adds_a_magnitude_for_each_output() -> None:
    plain = GPT_2.adapter_parameters(8, ("c_attn",), magnitudes=False)
    assert GPT_2.adapter_parameters(8, ("c_attn",), magnitudes=True) == plain + 12 * 3 * 768


def test_targets_are_found_by_the_last_part_of_their_name() -> None:
    assert [linear.name for linear in LLAMA_2_7B.targets(("self_attn.q_proj",))] == ["q_proj"]
    assert LLAMA_2_7B.unmatched(("q_proj", "c_attn")) == ["c_attn"]
    narrow = GPT_2.smallest_side(())
    assert narrow is not None
    assert min(narrow.inputs, narrow.outputs) == 768


def test_steps_count_the_short_last_step_of_an_epoch() -> None:
    values = Hyperparameters(num_train_epochs=3, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    assert optimizer_steps(values, train_rows=81, processes=1) == 33
    assert optimizer_steps(values, train_rows=81, processes=2) == 18
    assert optimizer_steps(Hyperparameters(num_train_epochs=0.5), train_rows=10, processes=1) == 2
    assert optimizer_steps(Hyperparameters(max_steps=7), train_rows=10, processes=1) == 7


@pytest.mark.parametrize(
    ("rows", "share", "wanted"), [(100, 0.05, (95, 5)), (3, 0.05, (2, 1)), (1, 0.5, (1, 0)), (9, 0, (9, 0))]
)
def test_rows_are_held_out_as_the_trainer_does(rows: int, share: float, wanted: tuple[int, int]) -> None:
    assert split_rows(rows, share) == wanted


def test_full_training_takes_sixteen_bytes_a_parameter_before_activations() -> None:
    parts = estimate(GPT_2, Hyperparameters(method="full"), Load(rows=1, row_tokens=8, processes=1, on_gpu=False))
    states = parts["weights"] + parts["gradients"] + parts["optimizer"]
    assert states == 16 * GPT_2.parameters


def test_four_bits_save_about_seventy_per_cent_of_the_weights() -> None:
    load = Load(rows=1, row_tokens=512, processes=1, on_gpu=True)
    half = estimate(LLAMA_2_7B, Hyperparameters(method="lora"), load)["weights"]
    four = estimate(LLAMA_2_7B, Hyperparameters(method="qlora"), load)["weights"]
    assert half / GIB == pytest.approx(12.55, abs=0.01)
    # bitsandbytes' own footprint of this model in NF4 with double quantisation is about 3.5 GiB.
    assert four / GIB == pytest.approx(3.6, abs=0.15)


def test_checkpointing_and_smaller_batches_save_activations() -> None:
    load = Load(rows=4, row_tokens=512, processes=1, on_gpu=True)
    all_kept = estimate(LLAMA_2_7B, Hyperparameters(), load)["activations"]
    recomputed = estimate(LLAMA_2_7B, Hyperparameters(gradient_checkpointing=True), load)["activations"]
    assert recomputed < all_kept / 5


def test_what_fits_nowhere_comes_with_remedies_of_least_harm_first() -> None:
    small = Machine(worker="small", gpus=1, available_bytes=16 * GIB)
    made = make_plan(Hyperparameters(per_device_train_batch_size=8, max_length=2048), [small])
    assert [fits for _, fits in made.fits] == [False]
    changes = [change for remedy in made.remedies for change in remedy.changes.items()]
    assert changes == [
        ("per_device_train_batch_size", 1),
        ("gradient_accumulation_steps", 8),
        ("gradient_checkpointing", True),
    ]
    assert [remedy.fits for remedy in made.remedies] == [False, True]
    sizes = [made.memory_bytes, *(remedy.memory_bytes for remedy in made.remedies)]
    assert sizes == sorted(sizes, reverse=True)
    assert made.remedies[-1].memory_bytes <= small.available_bytes


def test_remedies_go_on_until_it_fits_or_nothing_is_left() -> None:
    tiny = Machine(worker="tiny", gpus=1, available_bytes=2 * GIB)
    made = make_plan(Hyperparameters(method="full", max_length=2048), [tiny])
    names = [name for remedy in made.remedies for name in remedy.changes]
    assert names[0] == "per_device_train_batch_size"
    assert names[-1] == "lora_r"
    assert [remedy.changes["method"] for remedy in made.remedies if "method" in remedy.changes] == ["lora", "qlora"]
    assert not any(remedy.fits for remedy in made.remedies)


@pytest.mark.parametrize(
    ("asked", "name", "gib"),
    [
        ("A5000", "RTX A5000", 24),
        ("nvidia geforce rtx 4090", "RTX 4090", 24),
        ("24GB", "24 GB", 24),
        ("h100", "H100", 80),
    ],
)
def test_gpus_are_known_by_their_models(asked: str, name: str, gib: int) -> None:
    assert memory_of(asked, field="gpu") == (name, gib * GIB)


def test_an_unknown_gpu_names_the_nearest() -> None:
    with pytest.raises(InvalidArgument) as refused:
        memory_of("RTX 4900", field="hardware.gpu_model")
    assert "RTX 4090" in refused.value.violations[0].en


def test_a_machine_without_gpus_shares_its_memory_among_processes() -> None:
    machine = Machine(worker="cpu", gpus=0, available_bytes=64 * GIB)
    made = make_plan(Hyperparameters(per_device_train_batch_size=1, max_length=128), [machine])
    assert [fits for _, fits in made.fits] == [True]
    assert made.effective_batch == 1


def test_few_rows_are_remarked_upon() -> None:
    assert any("Only" in note.en for note in make_plan(Hyperparameters(), [], rows=50).notes)
    assert not any("rows" in note.en for note in make_plan(Hyperparameters(), [], rows=1200).notes)


def test_each_stage_shares_out_more_among_the_ranks() -> None:
    load = Load(rows=1, row_tokens=512, processes=4, on_gpu=True)
    one, two, three = (
        estimate(LLAMA_2_7B, Hyperparameters(method="full", deepspeed_stage=stage), load) for stage in (1, 2, 3)
    )
    parameters = LLAMA_2_7B.parameters
    # Rajbhandari et al. 2020, figure 1: 2 + 2 + 12 bytes a parameter, of which 12, then 2, then 2 are shared out.
    assert one["optimizer"] == parameters * 12 // 4
    assert two["gradients"] < one["gradients"]
    assert two["weights"] == 2 * parameters
    assert three["weights"] == 2 * parameters // 4 + 2 * 10**9
    assert sum(three.values()) < sum(two.values()) < sum(one.values())


def test_what_is_offloaded_leaves_the_gpu_but_not_the_machine() -> None:
    values = Hyperparameters(deepspeed_stage=3, offload_optimizer="cpu", offload_param="cpu")
    gpu = estimate(LLAMA_2_7B, values, Load(rows=1, row_tokens=512, processes=1, on_gpu=True))
    assert (gpu["optimizer"], gpu["weights"]) == (0, 2 * 10**9)
    cpu = estimate(LLAMA_2_7B, values, Load(rows=1, row_tokens=512, processes=1, on_gpu=False))
    assert cpu["optimizer"] > 0
    assert cpu["weights"] > 4 * LLAMA_2_7B.parameters


def test_sharing_out_comes_before_4_bits() -> None:
    pair = Machine(worker="pair", gpus=2, available_bytes=8 * GIB)
    made = make_plan(Hyperparameters(per_device_train_batch_size=1, max_length=256), [pair])
    names = [name for remedy in made.remedies for name in remedy.changes]
    assert names == ["gradient_checkpointing", "deepspeed_stage", "deepspeed_stage", "offload_param"]
    assert [remedy.fits for remedy in made.remedies] == [False, False, True]
    assert "12.6 GiB of the machine's memory" in made.remedies[-1].note.en


def test_answers_that_are_compared_with_the_model_before_keep_whole_weights() -> None:
    tiny = Machine(worker="tiny", gpus=2, available_bytes=2 * GIB)
    made = make_plan(Hyperparameters(objective="dpo"), [tiny])
    assert 3 not in [remedy.changes.get("deepspeed_stage") for remedy in made.remedies]
