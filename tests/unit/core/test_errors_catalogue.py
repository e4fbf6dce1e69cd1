"""Every error that a client can see has a stable reason, a status and both languages."""

import string
from collections import Counter
from importlib import import_module
from pathlib import Path

import grpc
import pytest

import services
from services.core.errors import DomainError, InvalidArgument, NotFound, Violation, catalogue

ROOT = Path(services.__path__[0])
for path in sorted(ROOT.rglob("*errors.py")):
    import_module(".".join(("services", *path.relative_to(ROOT).with_suffix("").parts)))

KINDS = [kind for kind in catalogue() if kind.__module__.startswith("services.")]


def test_a_reason_means_one_thing() -> None:
    """Two services may tell of the same thing, since none imports another; then the status is the same."""
    in_one_module = Counter((kind.__module__, kind.reason) for kind in KINDS)
    assert [name for name, count in in_one_module.items() if count > 1] == []
    statuses = {(kind.reason, kind.status) for kind in KINDS}
    assert [reason for reason, count in Counter(reason for reason, _ in statuses).items() if count > 1] == []


def test_reasons_of_the_kernel_are_not_taken_again() -> None:
    kernel = {kind.reason for kind in KINDS if kind.__module__ == "services.core.errors"}
    assert [kind for kind in KINDS if kind.__module__ != "services.core.errors" and kind.reason in kernel] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_complete(kind: type[DomainError]) -> None:
    assert kind.reason
    assert set(kind.reason) <= set(string.ascii_uppercase + string.digits + "_")
    assert kind.status in grpc.StatusCode.__members__
    assert kind.status != "OK"
    assert kind.en.isascii()
    assert any(ord(letter) > 0x3000 for letter in kind.ja), "the Japanese text is Japanese"
    assert kind.__doc__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_both_languages_tell_the_same_parameters(kind: type[DomainError]) -> None:
    def names(template: str) -> set[str]:
        return {(name or "").split(".")[0].split("[")[0] for _, name, _, _ in string.Formatter().parse(template)} - {""}

    # A parameter that is itself text may have a form for each language.
    assert {name.removesuffix("_en") for name in names(kind.en)} == {
        name.removesuffix("_ja") for name in names(kind.ja)
    }


def test_text_of_either_language() -> None:
    error = NotFound("datasets/x")
    assert str(error) == error.text("en") == "datasets/x does not exist."
    assert error.text("ja") == "datasets/x は存在しません。"


def test_a_missing_parameter_shows_where_it_is_raised() -> None:
    class Sloppy(DomainError):
        en = ja = "{missing}"

    with pytest.raises(KeyError):
        Sloppy()


def test_text_with_braces_is_not_a_template() -> None:
    assert "{x}" in str(NotFound("{x}"))
    assert "{0.__class__}" in str(InvalidArgument([Violation("{0.__class__}", "R", "", "")]))
