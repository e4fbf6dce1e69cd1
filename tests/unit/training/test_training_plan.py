"""Parameters, steps, rows and memory, against numbers worked out by hand or published."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from services.core.errors import InvalidArgument
from services.text.rows import Form
from services.training_service.admission import Admitted
from services.training_service.domain import Spec
from services.training_service.fitting import Machine
from services.training_service.gpu_models import memory_of, same_model
from services.training_service.lengths import Lengths, padding_share
from services.training_service.memory import Load, estimate
from services.training_service.notes import in_bytes
from services.training_service.plan import Plan, Rate, optimizer_steps, plan
from services.training_service.resolution import ResolvedBase, ResolvedRows
from services.training_service.shape import ModelShape
from services.training_service.shortfalls import split_rows
from services.training_service.trainer.hyperparameters import Hyperparameters, Optim

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


def make_plan(
    hyperparameters: Hyperparameters,
    machines: list[Machine],
    *,
    rows: int = 1200,
    rates: Sequence[Rate] = (),
    architecture: str = LLAMA_2_7B.architecture,
    start_from: str = "",
    processes: int = 0,
) -> Plan:
    """The plan of a job on Llama 2 7B with rows of 100 characters, and one of 3,000."""
    lengths = Lengths(counts=[0, rows], bounds=[64, 128], total=rows * 100, longest=3000, median=100, counted=False)
    found = ResolvedRows(
        name="datasets/a/versions/1",
        sha256="0",
        rows=rows,
        lengths=lengths,
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
        start_from=start_from,
        processes=processes,
    )
    base = ResolvedBase(name="baseModels/a", digest="0", shape=replace(LLAMA_2_7B, architecture=architecture))
    return plan(Admitted(spec=spec, base=base, rows=found, eval_rows=None), machines, lengths, rates)


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


@pytest.mark.parametrize(
    ("optim", "moment_bytes"),
    [("adamw_torch", 8), ("adamw_bnb_8bit", 2), ("paged_adamw_8bit", 2), ("adafactor", 0), ("sgd", 0)],
)
def test_optimizers_keep_moments_of_their_own_size(optim: Optim, moment_bytes: int) -> None:
    load = Load(rows=1, row_tokens=8, processes=1, on_gpu=True)
    parts = estimate(GPT_2, Hyperparameters(method="full", optim=optim), load)
    assert parts["optimizer"] == pytest.approx(moment_bytes * GPT_2.parameters, rel=0.02)


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
    sizes = [made.need.device_bytes, *(remedy.memory_bytes for remedy in made.remedies)]
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
    with pytest.raises(InvalidArgument) as refused:
        memory_of("A100", field="hardware.gpu_model")
    assert "such as A100 40GB, A100 80GB." in refused.value.violations[0].en


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


def test_only_what_admission_takes_is_proposed() -> None:
    tiny = Machine(worker="tiny", gpus=2, available_bytes=2 * GIB)
    compared, other = (
        [remedy.changes.get("deepspeed_stage") for remedy in make_plan(values, [tiny]).remedies]
        for values in (Hyperparameters(objective="dpo"), Hyperparameters(optim="adafactor"))
    )
    assert 3 in compared
    assert other == [None] * len(other), "DeepSpeed shares out AdamW only"


def test_time_is_told_where_it_was_measured_on_a_machine_of_the_kind() -> None:
    there = Machine(worker="a", model="NVIDIA A100-SXM4-80GB", gpus=1, available_bytes=80 * GIB)
    values = Hyperparameters(eval_split=0, num_train_epochs=2)
    assert make_plan(values, [there]).training_s is None
    other, alike = (Rate(model=model, jobs=1, tokens_per_second=500) for model in ("Tesla T4", there.model))
    assert make_plan(values, [there], rates=[other]).training_s is None
    made = make_plan(values, [there], rates=[other, alike])
    assert made.tokens == pytest.approx(2 * 1200 * 100, rel=0.01)
    assert made.training_s == pytest.approx(made.tokens / 500)
    assert "A100" in made.training_basis.en
    assert "characters" in made.tokens_basis.en


def test_models_of_plans_are_found_among_what_drivers_call_them() -> None:
    assert same_model("A100 80GB", "NVIDIA A100-SXM4-80GB")
    assert same_model("RTX 4090", "NVIDIA GeForce RTX 4090")
    assert not same_model("L4", "NVIDIA L40S")


def test_padding_is_what_batches_of_unlike_rows_would_hold() -> None:
    values = Hyperparameters(per_device_train_batch_size=2)
    assert padding_share([10] * 8, values, 1) == 0
    assert 0 < padding_share([10, 30] * 50, values, 1) < 0.5
    one_step = Hyperparameters(per_device_train_batch_size=2, gradient_accumulation_steps=1)
    assert padding_share([10, 30], one_step, 1) == pytest.approx(1 - 40 / 60)


def test_rows_that_stand_for_all_have_their_mean_and_their_longest() -> None:
    lengths = Lengths(
        counts=[900, 100], bounds=[16, 1024], total=900 * 10 + 100 * 400, longest=800, median=10, counted=True
    )
    drawn = lengths.typical(Hyperparameters(max_length=4096))
    assert len(drawn) == 1000
    assert sum(drawn) == pytest.approx(lengths.total, rel=0.02)
    assert max(lengths.typical(Hyperparameters(max_length=64))) == 64
    assert len(lengths.typical(Hyperparameters(max_length=64, objective="pretraining"))) > 1000


def test_offloading_needs_the_machines_memory() -> None:
    values = Hyperparameters(
        method="full", per_device_train_batch_size=1, max_length=256, deepspeed_stage=2, offload_optimizer="cpu"
    )
    small, large = (
        Machine(worker=name, gpus=1, available_bytes=80 * GIB, memory_bytes=memory * GIB)
        for name, memory in (("small", 64), ("large", 512))
    )
    made = make_plan(values, [small, large])
    assert [fits for _, fits in made.fits] == [False, True]
    assert any("100.4 GiB of the machine's memory; small has 64.0 GiB" in note.en for note in made.notes)


ON_DISK = Hyperparameters(
    method="full",
    per_device_train_batch_size=1,
    max_length=256,
    gradient_checkpointing=True,
    deepspeed_stage=3,
    offload_optimizer="nvme",
    offload_param="nvme",
)


def test_offloading_to_a_disk_needs_its_space_instead() -> None:
    machines = [
        Machine(worker=name, gpus=1, available_bytes=24 * GIB, memory_bytes=64 * GIB, disk_free_bytes=disk)
        for name, disk in (("none", 0), ("full", 100 * GIB), ("free", 200 * GIB))
    ]
    made = make_plan(ON_DISK, machines)
    # 16 bytes a parameter for the optimizer with gradients, 2 for weights.
    assert made.need.on_disk_bytes == 18 * LLAMA_2_7B.parameters
    assert made.need.offloaded_bytes < 16 * GIB
    assert [fits for _, fits in made.fits] == [False, False, True]
    short = make_plan(ON_DISK, machines[:2])
    assert any("113.0 GiB of disk" in note.en and "100.0 GiB free" in note.en for note in short.notes)


def test_a_disk_relieves_a_machine_without_gpus_too() -> None:
    machine = Machine(worker="cpu", gpus=0, available_bytes=64 * GIB, disk_free_bytes=300 * GIB)
    assert [fits for _, fits in make_plan(ON_DISK, [machine]).fits] == [True]
    memory = make_plan(replace(ON_DISK, offload_optimizer="cpu", offload_param="cpu"), [machine])
    assert [fits for _, fits in memory.fits] == [False]


def test_a_disk_is_proposed_last_of_what_offloads_and_only_where_one_is_offered() -> None:
    values = Hyperparameters(method="full", per_device_train_batch_size=1, max_length=256, gradient_checkpointing=True)
    machine = Machine(worker="a", gpus=1, available_bytes=24 * GIB, memory_bytes=64 * GIB, disk_free_bytes=200 * GIB)
    proposed = make_plan(values, [machine]).remedies
    assert [remedy.fits for remedy in proposed] == [*[False] * (len(proposed) - 1), True]
    assert proposed[-1].changes == {"deepspeed_stage": 3, "offload_optimizer": "nvme", "offload_param": "nvme"}
    assert "113.0 GiB of its disk" in proposed[-1].note.en
    without = make_plan(values, [replace(machine, disk_free_bytes=0)]).remedies
    assert not any("nvme" in remedy.changes.values() for remedy in without)


def test_packing_fills_micro_batches_up_to_what_they_may_hold() -> None:
    tokens = [
        make_plan(Hyperparameters(max_length=4096, gradient_accumulation_steps=count), []).need.load.row_tokens
        for count in (1, 2)
    ]
    assert tokens == [3032, 4096]


def test_only_models_that_need_a_mask_for_packed_rows_are_counted_with_one() -> None:
    packed = Hyperparameters(per_device_train_batch_size=512, max_length=128, eval_split=0)
    for machine in (Machine(worker="a", gpus=gpus, available_bytes=GIB) for gpus in (0, 1)):
        llama, stablelm = (
            make_plan(packed, [machine], architecture=name).need.parts["activations"]
            for name in ("LlamaForCausalLM", "StableLmForCausalLM")
        )
        assert stablelm - llama == (512 * 128) ** 2 * (3 if machine.gpus else 5)
        noisy = make_plan(replace(packed, neftune_noise_alpha=5.0), [machine]).need.parts["activations"]
        assert noisy - llama == 512 * 128**2 * (3 if machine.gpus else 5), "noise trains padded rows"


def test_no_more_rows_are_at_once_than_there_are() -> None:
    values = Hyperparameters(per_device_train_batch_size=4096, max_length=128, eval_split=0.5)
    load = make_plan(values, [], rows=600).need.load
    assert (load.rows, load.row_tokens) == (300, 128)
    assert make_plan(values, [], rows=600, processes=4).need.load.rows == 75
    gathered = replace(values, gradient_accumulation_steps=8, max_length=4096)
    assert make_plan(gathered, [], rows=600).need.load.tokens == 300 * 3032
    pretraining = replace(values, objective="pretraining")
    assert make_plan(pretraining, [], rows=600).need.load.rows == 300 + 600 * 100 // 127


def test_more_processes_than_gpus_are_no_lack_of_memory() -> None:
    pair = Machine(worker="2 x RTX A5000", gpus=2, available_bytes=24 * GIB)
    made = make_plan(Hyperparameters(per_device_train_batch_size=1, max_length=128), [pair], processes=4)
    assert [fits for _, fits in made.fits] == [False]
    assert [note.en for note in made.notes] == [
        "processes is 4, but no machine has more than 2 GPU(s); choose at most 2."
    ]
    assert [(remedy.changes, remedy.processes, remedy.fits) for remedy in made.remedies] == [({}, 2, True)]
    small = replace(pair, available_bytes=15 * GIB)
    proposed = make_plan(Hyperparameters(max_length=2048), [small], processes=4).remedies
    assert [remedy.processes for remedy in proposed] == [2, *[0] * (len(proposed) - 1)]
    assert [remedy.fits for remedy in proposed] == [*[False] * (len(proposed) - 1), True]


def test_more_processes_than_a_machine_without_gpus_has_memory_for_are_named_with_their_sum() -> None:
    machine = Machine(worker="cpu", gpus=0, available_bytes=64 * GIB, cores=2)
    values = Hyperparameters(per_device_train_batch_size=1, max_length=128)
    made = make_plan(values, [machine], processes=4)
    assert 16 * GIB < made.need.device_bytes < 32 * GIB
    each, total = in_bytes(made.need.device_bytes), in_bytes(4 * made.need.device_bytes)
    assert made.notes[0].en == (
        f"processes is 4: together they need about {total} of memory, {each} each, but no machine has more than 64.0 GiB; "
        "choose at most 2."
    )
    assert [(remedy.processes, remedy.fits) for remedy in made.remedies] == [(2, True)]
    roomy = replace(machine, available_bytes=3 * made.need.device_bytes)
    assert [remedy.processes for remedy in make_plan(values, [roomy], processes=4).remedies] == [2], "cores compute"
    tight = make_plan(values, [replace(machine, available_bytes=16 * GIB)], processes=4)
    assert any(f"{total} of a machine's memory for 4 processes" in note.en for note in tight.notes)


def test_what_saves_next_to_nothing_is_not_proposed() -> None:
    tiny = Machine(worker="tiny", gpus=1, available_bytes=2 * GIB)
    made = make_plan(Hyperparameters(method="qlora", lora_r=9, lora_target_modules=("q_proj",)), [tiny])
    sizes = [made.need.device_bytes, *(remedy.memory_bytes for remedy in made.remedies)]
    assert all(after <= 0.99 * before for before, after in pairwise(sizes))
    assert not any("lora_r" in remedy.changes for remedy in made.remedies)
    assert "even all together do not make it fit" in made.notes[0].en


def test_where_the_fixed_part_does_not_fit_nothing_is_proposed() -> None:
    tiny = Machine(worker="tiny", gpus=1, available_bytes=GIB // 2)
    made = make_plan(Hyperparameters(), [tiny])
    assert made.remedies == []
    assert len(made.notes) == 1
    assert made.notes[0].en.startswith(
        "Whatever is trained, 1.00 GiB of memory are taken (overhead), and no more than 512 MiB"
    )


def test_what_a_version_decides_is_not_proposed() -> None:
    tiny = Machine(worker="tiny", gpus=1, available_bytes=2 * GIB)
    whole, adapter = (
        [
            name
            for remedy in make_plan(values, [tiny], start_from="models/a/versions/1").remedies
            for name in remedy.changes
        ]
        for values in (Hyperparameters(method="full"), Hyperparameters(method="lora", lora_r=64))
    )
    assert "method" not in whole
    assert "lora_r" not in adapter
    assert "method" in adapter, "an adapter may go on in 4 bits"


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (413 * 1024**2, "413 MiB"), (1.07 * GIB, "1.07 GiB"), (25.84 * GIB, "25.8 GiB"), (1500, "1 KiB")],
)
def test_sizes_have_digits_enough_to_tell_them_apart(size: float, shown: str) -> None:
    assert in_bytes(size) == shown
