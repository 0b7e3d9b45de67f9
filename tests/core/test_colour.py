"""Text in the brand's colour is readable in the light and the dark theme, for every colour."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import admin_colours
from core import colour

colours = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")
TOKENS = Path(__file__).parents[2] / "static/css/tokens.css"


@given(colours)
def test_the_scale_of_the_admin_is_readable_and_ordered(brand: str) -> None:
    scale = admin_colours.scale(brand)
    lightness = [colour.luminance(scale[name]) for name in sorted(scale, key=int)]
    assert lightness == sorted(lightness, reverse=True)
    assert len(scale) == 11
    for ground in admin_colours.LIGHT_GROUNDS:
        assert colour.contrast(scale["600"], ground) >= 4.5
    for ground in admin_colours.DARK_GROUNDS:
        assert colour.contrast(scale["500"], ground) >= 4.5


@given(colours, st.booleans())
def test_every_brand_colour_becomes_readable(brand: str, dark: bool) -> None:
    accent = colour.accent_for(brand, dark=dark)
    backgrounds = colour.DARK_GROUNDS if dark else colour.LIGHT_GROUNDS
    assert all(colour.contrast(accent.fill, ground) >= 4.5 for ground in backgrounds)
    assert colour.contrast(accent.text, accent.fill) >= 4.5


def test_a_readable_brand_colour_is_not_changed() -> None:
    assert colour.accent_for("#0E7A5F", dark=False).fill == "#0e7a5f"


def test_black_on_white_has_the_greatest_contrast() -> None:
    assert colour.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colour.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("wrong", ["red", "#fff", "#12345g", "", "#1234567"])
def test_an_invalid_colour_is_refused_with_the_expected_format(wrong: str) -> None:
    with pytest.raises(colour.ColourInvalid, match="#rrggbb"):
        colour.accent_for(wrong, dark=False)


def _token(name: str) -> tuple[str, str]:
    match = re.search(rf"--{name}: light-dark\((#[0-9a-f]{{6}}), (#[0-9a-f]{{6}})\)", TOKENS.read_text())
    assert match, f"--{name} is not set in tokens.css"
    return match[1], match[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "surface", "surface-sunken"])
@pytest.mark.parametrize("text", ["text", "text-soft", "text-faint", "good", "warn", "bad"])
def test_text_is_readable_on_every_surface(text: str, ground: str, theme: int) -> None:
    assert colour.contrast(_token(text)[theme], _token(ground)[theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("state", ["good", "warn", "bad"])
def test_badges_are_readable(state: str, theme: int) -> None:
    assert colour.contrast(_token(state)[theme], _token(f"{state}-soft")[theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_borders_of_fields_are_visible(theme: int) -> None:
    assert colour.contrast(_token("line-strong")[theme], _token("surface")[theme]) >= 3


def test_accents_are_computed_for_the_backgrounds_of_the_tokens() -> None:
    names = ("surface", "ground", "surface-sunken")
    assert tuple(_token(name)[0] for name in names) == colour.LIGHT_GROUNDS
    assert tuple(_token(name)[1] for name in names) == colour.DARK_GROUNDS
