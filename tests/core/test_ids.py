"""Identifiers: in order of their making inside, opaque outside."""

import pytest

from core import ids


def test_ids_sort_in_the_order_in_which_they_were_made():
    made = [ids.new_id() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {one.version for one in made} == {7}


def test_a_public_id_comes_back_as_the_id_it_was():
    made = ids.new_id()
    text = ids.public_id(prefix="grant", value=made)
    assert text.startswith("grant_")
    assert ids.parse_public_id(text, prefix="grant") == made


@pytest.mark.parametrize(
    "text", ["", "grant_", "grant_1", "chg_" + "0" * 32, "grant_" + "G" * 32, "grant_" + "A" * 32]
)
def test_what_is_no_id_of_the_kind_is_none(text):
    assert ids.parse_public_id(text, prefix="grant") is None
