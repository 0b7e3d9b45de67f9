"""Details in the form in which the ledger stores them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from usage.charges.stored_detail import Detail, restored, stored

NAMES = st.text(min_size=1, max_size=12)
NUMBERS = st.one_of(st.integers(0, 10**9), st.decimals(0, 1000, places=3).map(str))
LINES = st.fixed_dictionaries(
    {
        "meter": NAMES, "quantity": NUMBERS, "unit_credits": NUMBERS.map(str), "per": st.integers(1, 10**6),
        "credits": NUMBERS.map(str), "multipliers": st.dictionaries(NAMES, NUMBERS.map(str), max_size=2),
    },
    optional={"blocks": st.integers(0, 9)},
)  # fmt: skip
DETAILS = st.fixed_dictionaries(
    {
        "lines": st.lists(LINES, max_size=3),
        "rate": st.fixed_dictionaries({"version": NAMES, "effective_at": st.just("2026-01-01T00:00:00Z")}),
        "usage": st.dictionaries(NAMES, NUMBERS, max_size=3),
        "options": st.dictionaries(NAMES, NAMES, max_size=2),
        "metadata": st.dictionaries(NAMES, st.one_of(NAMES, st.integers(), st.none()), max_size=2),
    }
)


@given(DETAILS)
def test_a_stored_detail_is_restored_without_loss(detail: Detail) -> None:
    assert restored(stored(detail)) == detail


def test_a_row_of_an_earlier_release_is_its_own_detail() -> None:
    detail = _detail(multipliers={"hd": "2"}) | {"options": {"quality": "hd"}, "metadata": {"a": 1}}
    assert restored(detail) == detail


def test_names_that_each_row_would_repeat_are_not_stored() -> None:
    lines, rate = [["images", 2, "1.75", 1, "3.5"]], "v 2 2026-01-01T00:00:00Z"
    assert stored(_detail()) == {"lines": lines, "rate": rate, "usage": {"images": 2}}


def _detail(**more: Any) -> Any:
    line = {"meter": "images", "quantity": 2, "unit_credits": "1.75", "per": 1, "credits": "3.5"}
    return {
        "lines": [line | {"multipliers": {}} | more],
        "rate": {"version": "v 2", "effective_at": "2026-01-01T00:00:00Z"},
        "usage": {"images": 2},
        "options": {},
        "metadata": {},
    }
