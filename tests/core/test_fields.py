"""Request fields at their boundaries: amounts, times, texts, whole numbers and flags."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from rest_framework import serializers

from core import fields, json_body, problems
from core.amounts import LARGEST, parse, plain, rounded
from core.problems import Problem


class Body(fields.StrictSerializer):
    credits = fields.Credits(required=False)
    amount = fields.Credits(required=False, zero_allowed=True)
    text = fields.Text(required=False, max_length=5)
    usual = fields.Text(required=False)
    at = fields.Instant(required=False)
    number = fields.WholeNumber(required=False, min_value=2, max_value=4)
    flag = fields.Flag(required=False)


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("credits", "0.000001", Decimal("0.000001")),
    ("credits", plain(LARGEST), LARGEST),
    ("credits", "007.50", Decimal("7.5")),
    ("amount", "0", Decimal(0)),
    ("amount", "0.000000", Decimal(0)),
    ("text", " a b ", " a b "),
    ("text", "12345", "12345"),
    ("usual", "x" * 200, "x" * 200),
    ("at", "2026-11-20T13:00:00+01:00", datetime(2026, 11, 20, 12, tzinfo=UTC)),
    ("at", "2026-11-20t12:00:00.5z", datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=UTC)),
    ("at", "2026-11-20 12:00:00Z", datetime(2026, 11, 20, 12, tzinfo=UTC)),
    ("at", "2001-01-01T00:00:00Z", datetime(2001, 1, 1, tzinfo=UTC)),
    ("at", "2199-12-31T23:59:59Z", datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ("at", "2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
    ("at", "2015-12-31t15:59:60-08:00", datetime(2016, 1, 1, tzinfo=UTC)),
    ("at", "2015-07-01T08:59:60.25+09:00", datetime(2015, 7, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
    ("number", 2, 2),
    ("number", Decimal("3.0"), 3),
    ("number", 4, 4),
    ("flag", True, True),
    ("flag", False, False),
]
REFUSED: list[tuple[str, Any, str]] = [
    ("credits", "0", "not_positive"),
    ("credits", "0.000000", "not_positive"),
    ("credits", "1000000000.000001", "too_large"),
    ("amount", "1000000001", "too_large"),
    ("credits", 5, "not_a_string"),
    ("credits", Decimal("5.5"), "not_a_string"),
    ("credits", "5.1234567", "not_an_amount"),
    ("credits", ".5", "not_an_amount"),
    ("credits", "5.", "not_an_amount"),
    ("credits", "-5", "not_an_amount"),
    ("credits", None, "null"),
    ("text", "123456", "max_length"),
    ("text", "", "blank"),
    ("text", 5, "invalid"),
    ("usual", "x" * 201, "max_length"),
    ("at", "2000-12-31T23:59:59Z", "out_of_range"),
    ("at", "2200-01-01T00:00:00Z", "out_of_range"),
    ("at", "2026-11-20T12:00:00", "invalid"),
    ("at", "2026-11-20T12:00:00.Z", "invalid"),
    ("at", "2026-02-29T12:00:00Z", "invalid"),
    ("at", "2026-11-20T12:00Z", "invalid"),
    ("at", "2016-12-30T23:59:60Z", "invalid"),
    ("at", "2016-12-31T23:58:60Z", "invalid"),
    ("at", "2016-12-31T23:59:60+01:00", "invalid"),
    ("at", "2016-12-31T23:59:61Z", "invalid"),
    ("at", "2199-12-31T23:59:60Z", "out_of_range"),
    ("at", "9999-12-31T23:59:60Z", "invalid"),
    ("at", 1_700_000_000, "invalid"),
    ("number", 1, "min_value"),
    ("number", 5, "max_value"),
    ("number", True, "invalid"),
    ("number", "3", "invalid"),
    ("number", Decimal("3.5"), "invalid"),
    ("number", Decimal("NaN"), "invalid"),
    ("flag", 1, "invalid"),
    ("flag", "true", "invalid"),
    ("other", 1, "unknown_field"),
]


def test_values_are_accepted_up_to_their_boundaries() -> None:
    for name, given, value in ACCEPTED:
        assert Body.checked({name: given}) == {name: value}, (name, given)


def test_values_beyond_their_boundaries_name_field_and_error() -> None:
    for name, given, code in REFUSED:
        with pytest.raises(serializers.ValidationError) as refused:
            Body.checked({name: given})
        errors = list(problems.flattened(refused.value.detail))
        assert [(error["field"], error["code"]) for error in errors] == [(name, code)], (name, given)


@pytest.mark.parametrize("body", [None, [], "x", 5, True])
def test_a_body_is_an_object(body: Any) -> None:
    with pytest.raises(Problem) as refused:
        Body.checked(body)
    assert [(error["field"], error["code"]) for error in refused.value.errors] == [("", "not_an_object")]


def test_times_are_written_in_utc_with_microseconds_unless_they_are_zero() -> None:
    berlin = timezone(timedelta(hours=1))
    assert fields.instant(datetime(2026, 11, 20, 13, tzinfo=berlin)) == "2026-11-20T12:00:00Z"
    exact = datetime(2026, 11, 20, 12, 0, 0, 1, tzinfo=UTC)
    assert fields.instant(exact) == fields.instant_or_none(exact) == "2026-11-20T12:00:00.000001Z"
    assert fields.instant_or_none(None) is None


def test_amounts_are_rounded_half_up_and_written_plainly() -> None:
    for value, text in (
        ("0.0000005", "0.000001"),
        ("0.00000049", "0"),
        ("1.2345645", "1.234565"),
        ("-0.0000004", "0"),
        ("100", "100"),
        ("1E+3", "1000"),
    ):
        assert plain(rounded(Decimal(value))) == text
    assert [plain(Decimal(text)) for text in ("-0", "5.50", "0.10", "-2.50")] == ["0", "5.5", "0.1", "-2.5"]
    assert (parse("9" * 14), parse("9" * 15), parse("1.0000001")) == (Decimal("9" * 14), None, None)


def test_nested_errors_are_listed_by_their_path() -> None:
    detail = {
        "usage": {"tokens": ["No."], "images": {"deep": ["Never."]}},
        "data": [{}, {"name": ["Bad."]}, ["x", "y"]],
        "non_field_errors": ["All of it."],
    }
    listed = [(error["field"], error["message"]) for error in problems.flattened(detail)]
    assert listed == [
        ("usage.tokens", "No."),
        ("usage.images.deep", "Never."),
        ("data[1].name", "Bad."),
        ("data[2]", "x"),
        ("data[2]", "y"),
        ("", "All of it."),
    ]


def test_the_deepest_json_and_the_largest_body() -> None:
    assert json_body.loads(b"[" * 16 + b"]" * 16)
    assert json_body.loads(b"[" * 16 + b'"\\u0041"' + b"]" * 16)
    for body in (b"[" * 17 + b"]" * 17, b'{"a":' * 17 + b"1" + b"}" * 17):
        with pytest.raises(Problem, match="nested too deeply"):
            json_body.loads(body)
    wide = b"[" + b"[],{}," * 30 + b"1]"
    assert len(json_body.loads(wide)) == 61
    with pytest.raises(Problem, match="contains a field twice"):
        json_body.loads(b'{"a": {"b": 1, "b": 1}}')


@pytest.mark.parametrize(("more", "status"), [(0, 400), (1, 413)])
def test_a_body_of_the_largest_size_is_read(api_of: Any, alice: Any, more: int, status: int) -> None:
    api = api_of(alice)
    text = '{"service": "x"}'
    body = text + " " * (json_body.LARGEST_BODY - len(text) + more)
    answer = api.client.post("/api/v1/projects", body, content_type="application/json")
    if status == 413:
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    else:
        assert answer.json()["code"] != "body_too_large"
