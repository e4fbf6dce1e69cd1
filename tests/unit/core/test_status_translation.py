"""Domain errors as the client sees them."""

from google.rpc import error_details_pb2, status_pb2

from services.core.errors import BOTH, InvalidArgument, NotFound, Unavailable, Violation
from services.core.status import MAX_BYTES, languages, trailers_bytes, translate


def details(status: status_pb2.Status, kind: type) -> list:  # type: ignore[type-arg]
    found = []
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            found.append(detail)
    return found


def test_reason_domain_and_parameters() -> None:
    status = translate(NotFound("datasets/x"), request_id="ab" * 16)
    (info,) = details(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == ("NOT_FOUND", "aift", {"resource": "datasets/x"})
    (request,) = details(status, error_details_pb2.RequestInfo)
    assert request.request_id == "ab" * 16
    assert status.code == 5


def test_both_languages_unless_one_is_asked_for() -> None:
    error = NotFound("datasets/x")
    both = translate(error)
    assert both.message == f"{error.text('en')} / {error.text('ja')}"
    assert [m.locale for m in details(both, error_details_pb2.LocalizedMessage)] == ["en", "ja"]
    japanese = translate(error, ("ja",))
    assert japanese.message == error.text("ja")
    assert [m.locale for m in details(japanese, error_details_pb2.LocalizedMessage)] == ["ja"]


def test_accept_language() -> None:
    assert languages("ja-JP,ja;q=0.9,en;q=0.8") == ("ja",)
    assert languages("en-GB") == ("en",)
    assert languages("fr, ja") == ("ja",)
    assert languages("fr") == languages("") == languages(None) == BOTH


def test_retry_info_where_waiting_helps() -> None:
    (retry,) = details(translate(Unavailable("database", retry_after_s=1.5)), error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1500
    assert not details(translate(NotFound("x")), error_details_pb2.RetryInfo)


def test_a_thousand_violations_stay_small() -> None:
    violations = [
        Violation(f"rows[{n}]." + "f" * 500, "MISSING_FIELD", "é" * 2000, "行にフィールドがありません。" * 200)
        for n in range(1000)
    ]
    status = translate(InvalidArgument(violations), request_id="ab" * 16)
    assert trailers_bytes(status) < MAX_BYTES
    (info,) = details(status, error_details_pb2.ErrorInfo)
    assert info.metadata["violations_total"] == "1000"
    (bad,) = details(status, error_details_pb2.BadRequest)
    assert 1 <= len(bad.field_violations) <= 10


def test_ten_ordinary_violations_are_all_told() -> None:
    violations = [Violation(f"field_{n}", "BAD", "Must be positive.", "正の値にしてください。") for n in range(12)]
    (bad,) = details(translate(InvalidArgument(violations)), error_details_pb2.BadRequest)
    assert [v.field for v in bad.field_violations] == [f"field_{n}" for n in range(10)]
    assert bad.field_violations[0].description == "Must be positive. / 正の値にしてください。"
    assert bad.field_violations[0].reason == "BAD"


def test_long_texts_are_whole_while_they_fit() -> None:
    en, ja = "Set it to one of " + "adamw_torch, " * 20, "次のいずれかを指定してください: " + "adamw_torch、" * 20
    (bad,) = details(translate(InvalidArgument([Violation("optim", "BAD", en, ja)])), error_details_pb2.BadRequest)
    assert bad.field_violations[0].description == f"{en} / {ja}"
    many = translate(InvalidArgument([Violation(f"field_{n}", "BAD", en, ja) for n in range(10)]))
    (bad,) = details(many, error_details_pb2.BadRequest)
    assert 1 < len(bad.field_violations) < 10
    assert {violation.description for violation in bad.field_violations} == {f"{en} / {ja}"}
    assert trailers_bytes(many) < MAX_BYTES


def test_huge_parameters_stay_small() -> None:
    assert trailers_bytes(translate(NotFound("あ" * 100_000))) < MAX_BYTES
