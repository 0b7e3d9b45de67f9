"""Strict JSON: numbers are exact, and text that the database cannot store is refused."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import json_body
from core.problems import Problem


def test_fractions_are_exact_decimals_and_whole_numbers_are_ints() -> None:
    value = json_body.loads(b'{"a": 0.1, "b": 12, "c": 1e2, "d": -0.0}')
    assert value == {"a": Decimal("0.1"), "b": 12, "c": Decimal(100), "d": 0}
    assert not any(isinstance(number, float) for number in value.values())


@pytest.mark.fault("I1")
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e9999999999999999999999"])
def test_numbers_that_are_not_finite_are_parsed_and_refused_by_their_field(text: str) -> None:
    assert not json_body.loads(text.encode()).is_finite()


@pytest.mark.fault("I2")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1, "a": 2}',
        b'{"a": "\x00"}',
        b'{"a": "\\u0000"}',
        b'{"a\\u0000": 1}',
        b'{"a": ["\\ud800"]}',
        b'{"a": "\xed\xa0\x80"}',
        b'"\xff"',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 17 + b"]" * 17,
        b"9" * 5000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_malformed_json_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        json_body.loads(body)
    assert (refused.value.status, refused.value.code) == (400, "malformed_json")


def test_a_surrogate_pair_is_one_character() -> None:
    assert json_body.loads(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("body", "other"),
    [({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}), ({"a": Decimal("1.50")}, {"a": Decimal("1.50")})],
)
def test_the_canonical_form_does_not_depend_on_the_order_of_fields(body: Any, other: Any) -> None:
    assert json_body.canonical(body) == json_body.canonical(other)
    assert json_body.canonical(body) != json_body.canonical({**body, "c": None})


def test_numbers_of_the_client_are_returned_unchanged() -> None:
    assert json_body.without_decimals({"a": [Decimal("0.1"), 2]}) == {"a": [0.1, 2]}
    with pytest.raises(ValueError):
        json_body.without_decimals({"a": Decimal("NaN")})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(["\x7f", "é"])
BODIES = st.recursive(
    st.none() | st.booleans() | TEXTS | st.integers(-(2**70), 2**70) | st.decimals(allow_nan=False, places=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)


@given(BODIES)
def test_the_canonical_form_is_that_of_earlier_releases(body: Any) -> None:
    """Fingerprints of it are stored with charges."""
    earlier = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str).encode()
    assert json_body.canonical(body) == earlier


def test_a_response_may_contain_any_whole_number_and_no_value_without_one_form() -> None:
    assert json_body.dumps({"a": [2**70, "é"]}) == '{"a":[1180591620717411303424,"é"]}'
    with pytest.raises(TypeError):
        json_body.dumps({"at": datetime.now(UTC)})
