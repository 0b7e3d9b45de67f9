"""Identifiers: internal ids sort by creation time, public ids are opaque."""

import pytest

from core import ids


def test_ids_sort_by_creation_time():
    created = [ids.new_id() for _ in range(5000)]
    assert created == sorted(created)
    assert len(set(created)) == len(created)
    assert {value.version for value in created} == {7}


def test_a_public_id_is_parsed_to_the_same_id():
    value = ids.new_id()
    text = ids.public_id(prefix="grant", value=value)
    assert text.startswith("grant_")
    assert ids.parse_public_id(text, prefix="grant") == value


@pytest.mark.parametrize(
    "text", ["", "grant_", "grant_1", "chg_" + "0" * 32, "grant_" + "G" * 32, "grant_" + "A" * 32]
)
def test_an_invalid_id_or_one_of_another_kind_is_none(text):
    assert ids.parse_public_id(text, prefix="grant") is None
