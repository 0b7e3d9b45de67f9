"""Colours of the admin: the catalogue's accent in unfold's scale from 50 (light) to 950 (dark).

Invariant: unfold writes text in 600 on light grounds and in 500 on dark ones, and white text on 600; all
three have a contrast of at least 4.5:1 (WCAG 2.2, level AA).
"""

from copy import deepcopy
from functools import lru_cache

from django.http import HttpRequest
from unfold.settings import CONFIG_DEFAULTS

from core import colour
from pricing.catalogue import cache as catalogue_cache
from usage.context_processors import DEFAULT_ACCENT

Scale = dict[str, str]
WHITE, BLACK = "#ffffff", "#000000"
LIGHT_GROUNDS = (WHITE, "#f9fafb", "#f3f4f6")  # unfold's base-50 and base-100
DARK_GROUNDS = ("#1e2939", "#101828", "#030712")  # base-800 to base-950
_LIGHTER = {"50": 0.95, "100": 0.9, "200": 0.8, "300": 0.6, "400": 0.25}  # shares of white
_DARKER = {"700": 0.15, "800": 0.3, "900": 0.45, "950": 0.65}  # shares of black


def colours(request: HttpRequest) -> dict[str, Scale]:
    """unfold's COLORS; a new dictionary each time, because unfold writes to it."""
    found: dict[str, Scale] = deepcopy(CONFIG_DEFAULTS["COLORS"])
    brand = catalogue_cache.current().brand
    return found | {"primary": dict(scale(brand.accent if brand else DEFAULT_ACCENT))}


@lru_cache(maxsize=8)
def scale(accent: str) -> Scale:
    """The scale of an accent colour, #rrggbb. Raises ColourInvalid."""
    dark = colour.readable(accent, LIGHT_GROUNDS, lighter=False)
    light = colour.readable(accent, DARK_GROUNDS, lighter=True)
    found = {name: colour.mixed(light, WHITE, share) for name, share in _LIGHTER.items()}
    found |= {"500": light, "600": dark}
    return found | {name: colour.mixed(dark, BLACK, share) for name, share in _DARKER.items()}
