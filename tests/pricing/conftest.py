"""Fixtures of the price tests: a time, and catalogues that are loaded or written for one test."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pricing import lookup
from pricing.catalogue import loading

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

# The smallest valid catalogue; tests change one value of it.
TINY = """
key = "tiny"
currencies = ["usd", "eur"]
effective_at = 2026-01-01T00:00:00Z

[brand]
name = "Tiny"
accent = "#336699"

[wording]
support_email = "help@tiny.example"
intro = "Credits."

[policies]
payment_methods = ["card"]

[options.quality]
multipliers = { low = 1, high = 2 }
default = "low"

[[services]]
key = "echo"
name = "Echo"
modality = "text"
tags = ["fast"]
options = ["quality"]
rate = { lines = [{ meter = "tokens", credits = 3, per = 1000 }] }

[[services]]
key = "paint"
name = "Paint"
kind = "action"
modality = "text"
rate = { cost_of_model = true }

[[plans]]
key = "free"
name = "Free"
rank = 0
free = true

[[plans]]
key = "paid"
name = "Paid"
rank = 1
prices = { month = { usd = 900, eur = 800 } }

[[packs]]
key = "small"
name = "Small"
credits = 100
prices = { usd = 500, eur = 450 }

[[sales]]
key = "spring"
pack = "small"
label = "Spring"
prices = { usd = 400, eur = 350 }
starts_at = 2026-03-01T00:00:00Z
ends_at = 2026-04-01T00:00:00Z
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the tiny catalogue with replacements ("old", "new") and return its path."""

    def file(*changes: tuple[str, str], name: str = "tiny") -> Path:
        text = TINY
        for old, new in changes:
            assert old in text, f"the tiny catalogue has no {old!r}"
            text = text.replace(old, new, 1)
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return path

    return file


@pytest.fixture
def load(db: None) -> Callable[..., loading.Loaded]:
    """Load a catalogue at NOW, or at another time."""

    def load_at(name: object, now: datetime = NOW) -> loading.Loaded:
        return loading.load(str(name), now=now)

    return load_at


def cost(
    service: str, *, now: datetime = NOW, action: str = "", options: dict | None = None, **usage: object
) -> Decimal:
    """The credits of a use: cost("veo-3", seconds=2)."""
    return lookup.price_use(service=service, usage=usage, now=now, action=action, options=options).credits
