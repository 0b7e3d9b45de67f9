"""Readable colours: contrast by WCAG 2.2, and a brand colour adjusted until it reaches level AA.

Invariant: what `accent_for` returns has a contrast of at least 4.5:1 against its background, and so
has the text colour on it.
"""

import colorsys
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

AA = 4.5
LIGHT_GROUNDS = ("#ffffff", "#f7f7f5", "#f3f3f0")
DARK_GROUNDS = ("#17181a", "#101112", "#1c1e20")
_HEX = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)


class ColourInvalid(ValueError):
    """The text is not a colour of the form #rrggbb."""


@dataclass(frozen=True)
class Accent:
    """A colour for buttons, links and bars, and a readable text colour on it."""

    fill: str
    text: str


def luminance(colour: str) -> float:
    """Relative luminance of a #rrggbb colour, 0 (black) to 1 (white). Raises ColourInvalid."""
    if not _HEX.fullmatch(colour):
        raise ColourInvalid(f"{colour!r} is no colour of the form #rrggbb")
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def accent_for(brand: str, *, dark: bool) -> Accent:
    """The brand colour for the light or the dark theme.

    Darkened or lightened until it is readable on every surface of that theme; the hue does not change.
    """
    fill = readable(brand, DARK_GROUNDS if dark else LIGHT_GROUNDS, lighter=dark)
    text = max(("#ffffff", "#0d1117"), key=lambda candidate: contrast(candidate, fill))
    return Accent(fill=fill, text=text)


def readable(colour: str, grounds: Sequence[str], *, lighter: bool) -> str:
    """The colour, lightened or darkened to a contrast of AA on every ground. Raises ColourInvalid."""
    red, green, blue = _parts(colour)
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    found = colour.lower()
    while min(contrast(found, ground) for ground in grounds) < AA:
        lightness += 0.01 if lighter else -0.01
        found = _hex(colorsys.hls_to_rgb(hue, min(max(lightness, 0.0), 1.0), saturation))
    return found


def mixed(colour: str, other: str, share: float) -> str:
    """The colour with this share of the other one, 0 to 1. Raises ColourInvalid."""
    pairs = zip(_parts(colour), _parts(other), strict=True)
    return _hex([one * (1 - share) + two * share for one, two in pairs])


def _parts(colour: str) -> list[float]:
    luminance(colour)  # raises ColourInvalid
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _hex(parts: Iterable[float]) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)
