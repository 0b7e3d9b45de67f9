"""A brand's colour can be read in both looks, whatever colour it is."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import colour

colours = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")
TOKENS = Path(__file__).parents[2] / "static/css/tokens.css"


@given(colours, st.booleans())
def test_every_brand_colour_becomes_readable(brand: str, dark: bool) -> None:
    accent = colour.accent_for(brand, dark=dark)
    grounds = colour.DARK_GROUNDS if dark else colour.LIGHT_GROUNDS
    assert all(colour.contrast(accent.fill, ground) >= 4.5 for ground in grounds)
    assert colour.contrast(accent.text, accent.fill) >= 4.5


def test_a_readable_brand_colour_stays_as_it_is() -> None:
    assert colour.accent_for("#0E7A5F", dark=False).fill == "#0e7a5f"


def test_black_on_white_has_the_greatest_contrast() -> None:
    assert colour.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colour.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("wrong", ["red", "#fff", "#12345g", "", "#1234567"])
def test_what_is_no_colour_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(colour.ColourInvalid, match="#rrggbb"):
        colour.accent_for(wrong, dark=False)


def _token(name: str) -> tuple[str, str]:
    found = re.search(rf"--{name}: light-dark\((#[0-9a-f]{{6}}), (#[0-9a-f]{{6}})\)", TOKENS.read_text())
    assert found, f"--{name} is not set in tokens.css"
    return found[1], found[2]


@pytest.mark.parametrize("look", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "surface", "surface-sunken"])
@pytest.mark.parametrize("text", ["text", "text-soft", "text-faint", "good", "warn", "bad"])
def test_text_can_be_read_on_every_surface(text: str, ground: str, look: int) -> None:
    assert colour.contrast(_token(text)[look], _token(ground)[look]) >= 4.5


@pytest.mark.parametrize("look", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("state", ["good", "warn", "bad"])
def test_badges_can_be_read(state: str, look: int) -> None:
    assert colour.contrast(_token(state)[look], _token(f"{state}-soft")[look]) >= 4.5


@pytest.mark.parametrize("look", [0, 1], ids=["light", "dark"])
def test_the_borders_of_fields_can_be_seen(look: int) -> None:
    assert colour.contrast(_token("line-strong")[look], _token("surface")[look]) >= 3


def test_the_grounds_that_accents_are_computed_for_are_those_of_the_tokens() -> None:
    names = ("surface", "ground", "surface-sunken")
    assert tuple(_token(name)[0] for name in names) == colour.LIGHT_GROUNDS
    assert tuple(_token(name)[1] for name in names) == colour.DARK_GROUNDS
