"""One table of names: the manual's and other tools' names mean Hugging Face's."""

import pytest
from aift.errors import AiftError
from aift.hyperparameter_help import HELP
from aift.hyperparameters import (
    ALIASES,
    FIELDS,
    METHOD_FLAGS,
    UNAVAILABLE,
    as_settings,
    hyperparameters,
    known_names,
    overridden,
)
from aift.training.v1 import training_pb2


def refused(settings: dict[str, object]) -> AiftError:
    with pytest.raises(AiftError) as caught:
        hyperparameters(settings)
    return caught.value


def test_every_alias_means_a_field_of_the_contract() -> None:
    assert set(ALIASES.values()) <= set(FIELDS)
    assert not set(ALIASES) & set(FIELDS)
    assert not (set(METHOD_FLAGS) | set(UNAVAILABLE)) & (set(ALIASES) | set(FIELDS))


def test_every_hyperparameter_has_help() -> None:
    assert list(HELP) == list(FIELDS)


def test_the_manuals_command_for_32b_is_understood() -> None:
    message = hyperparameters(
        {
            "use_4bit": True,
            "use_qlora": True,
            "qlora_r": "128",
            "qlora_alpha": "32",
            "gradient_checkpointing": True,
            "max_seq_length": "512",
            "num_epochs": "2",
            "batch_size": "1",
            "gradient_accumulation_steps": "32",
        }
    )
    assert as_settings(message) == {
        "method": "qlora",
        "num_train_epochs": 2.0,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 32,
        "max_length": 512,
        "lora_r": 128,
        "lora_alpha": 32.0,
        "gradient_checkpointing": True,
    }


@pytest.mark.parametrize(
    ("alias", "canonical"),
    [
        ("lora_rank", "lora_r"),
        ("qlora_r", "lora_r"),
        ("qlora_alpha", "lora_alpha"),
        ("micro_batch_size", "per_device_train_batch_size"),
        ("batch_size", "per_device_train_batch_size"),
        ("epochs", "num_train_epochs"),
        ("cutoff_len", "max_length"),
        ("sequence_len", "max_length"),
        ("LORA-Rank", "lora_r"),
    ],
)
def test_aliases(alias: str, canonical: str) -> None:
    assert list(as_settings(hyperparameters({alias: 8}))) == [canonical]


@pytest.mark.parametrize(
    ("flags", "method"),
    [
        ({"use_lora": True}, "lora"),
        ({"use_lora": True, "load_in_4bit": True}, "qlora"),
        ({"use_lora": False}, "full"),
        ({"use_qlora": "true"}, "qlora"),
        ({"method": "lora", "use_qlora": False}, "lora"),
    ],
)
def test_flags_choose_the_method(flags: dict[str, object], method: str) -> None:
    assert as_settings(hyperparameters(flags)) == {"method": method}


def test_settings_survive_a_round_trip() -> None:
    message = training_pb2.Hyperparameters(
        method=training_pb2.TRAINING_METHOD_FULL,
        learning_rate=1e-4,
        packing=False,
        seed=7,
        lora_target_modules=["q_proj", "v_proj"],
        lr_scheduler_type=training_pb2.LEARNING_RATE_SCHEDULE_COSINE,
    )
    assert hyperparameters(as_settings(message)) == message


def test_zero_is_a_value_and_none_is_not() -> None:
    message = hyperparameters({"lora_r": 0, "epochs": None})
    assert message.HasField("lora_r")
    assert not message.HasField("num_train_epochs")


def test_an_unknown_name_gets_the_nearest() -> None:
    error = refused({"learnin_rate": 1})
    assert error.reason == "UNKNOWN_HYPERPARAMETER"
    assert "learning_rate" in error.message_en
    assert "learning_rate" in error.message_ja
    assert error.violations[0].field == "learnin_rate"


@pytest.mark.parametrize(
    "settings",
    [
        {"lora_r": "sixteen"},
        {"lora_r": 1.5},
        {"lora_r": True},
        {"lora_r": 2**31},
        {"seed": 2**53},
        {"lora_r": float("nan")},
        {"learning_rate": "fast"},
        {"packing": "perhaps"},
        {"method": "full-lora"},
        {"learning_rate": [1]},
    ],
)
def test_values_of_the_wrong_type_name_field_and_value(settings: dict[str, object]) -> None:
    error = refused(settings)
    assert error.reason == "INVALID_HYPERPARAMETER"
    assert str(next(iter(settings.values()))) in error.message_en


def test_out_of_range_and_nan_are_the_services_to_refuse() -> None:
    message = hyperparameters({"learning_rate": "nan", "lora_r": -1})
    assert message.learning_rate != message.learning_rate
    assert message.lora_r == -1


def test_two_names_that_disagree_conflict() -> None:
    assert refused({"epochs": 3, "num_epochs": 4}).reason == "CONFLICTING_HYPERPARAMETERS"
    assert refused({"method": "full", "use_qlora": True}).reason == "CONFLICTING_HYPERPARAMETERS"
    assert hyperparameters({"epochs": 3, "num_epochs": "3.0"}).num_train_epochs == 3


@pytest.mark.parametrize("name", sorted(UNAVAILABLE))
def test_what_does_not_work_says_so_unless_it_is_off(name: str) -> None:
    assert refused({name: "x"}).reason == "UNAVAILABLE_HYPERPARAMETER"
    assert hyperparameters({name: False}) == training_pb2.Hyperparameters()


def test_later_settings_win_by_meaning() -> None:
    merged = overridden({"epochs": 3, "use_qlora": True, "seed": 1}, {"num_train_epochs": 5, "method": "lora"})
    assert merged == {"seed": 1, "num_train_epochs": 5, "method": "lora"}


def test_names_are_known() -> None:
    assert {"epochs", "lora_r", "use_4bit", "cpu_offload"} <= known_names()
