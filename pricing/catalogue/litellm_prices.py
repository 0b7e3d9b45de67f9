"""LiteLLM's public price map, converted to price lines: cost in dollars to credits, with a margin.

Invariants: figures are Decimals and rounded up, so that a margin of zero never sells below cost; a model
whose main price has no meter is not mapped, because it would be sold below cost; everything not mapped is
listed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from typing import Any

from core.amounts import PLACES, plain
from pricing.rates.rate import Band, RateLine

_MILLION = 1_000_000
# The price that a model of each mode must have, and the name of its modality.
_MODES: dict[str, tuple[str, tuple[str, ...]]] = {
    "chat": ("text", ("input_tokens", "output_tokens")),
    "completion": ("text", ("input_tokens", "output_tokens")),
    "responses": ("text", ("input_tokens", "output_tokens")),
    "embedding": ("embedding", ("input_tokens",)),
    "image_generation": ("image", ("images",)),
    "image_edit": ("image", ("images",)),
    "video_generation": ("video", ("seconds",)),
    "audio_transcription": ("audio", ("seconds", "input_tokens")),
    "audio_speech": ("audio", ("characters", "seconds", "input_tokens")),
    "rerank": ("search", ("uses",)),
    "search": ("search", ("uses",)),
}
# The costs of each meter. The highest of several is used, so that no call is sold below cost.
_COSTS: dict[str, tuple[str, ...]] = {
    "input_tokens": ("input_cost_per_token",),
    "cached_input_tokens": ("cache_read_input_token_cost",),
    "image_tokens": ("input_cost_per_image_token",),
    "output_tokens": ("output_cost_per_token", "output_cost_per_reasoning_token"),
    "images": ("output_cost_per_image",),
    "characters": ("input_cost_per_character",),
    "uses": ("input_cost_per_query",),
}
_PER_SECOND = ("input_cost_per_second", "output_cost_per_second", "cost_per_second")
_AUDIO = {
    "input_tokens": ("input_cost_per_audio_token",),
    "output_tokens": ("output_cost_per_audio_token",),
}
_PER_MILLION = frozenset(
    {"input_tokens", "cached_input_tokens", "image_tokens", "output_tokens", "characters"}
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A model with its price lines and the cost of each unit, in credits."""

    model: str
    key: str
    modality: str
    provider: str
    lines: tuple[RateLine, ...]
    cost: Mapping[str, str]


@dataclass(slots=True)
class Reading:
    """The result of reading a price map: models with a price, and descriptions of what was not mapped."""

    mapped: list[Mapped] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read(prices: Mapping[str, Any], *, credit_usd: Decimal, margin: Decimal) -> Reading:
    """Map every possible model. `credit_usd`: dollars of one credit; `margin`: 0.25 adds 25 %."""
    reading = Reading()
    keys: dict[str, str] = {}
    ignored: dict[str, list[str]] = {}
    for model, entry in prices.items():
        if model == "sample_spec" or not isinstance(entry, Mapping):
            continue
        found = _mapped(model, entry, credit_usd=credit_usd, margin=margin)
        if isinstance(found, str):
            reading.left_out.append(f"{model}: {found}")
        elif found.key in keys:
            reading.left_out.append(f"{model}: the key {found.key} is taken by {keys[found.key]}")
        else:
            keys[found.key] = model
            reading.mapped.append(found)
            for name in _ignored_costs(entry):
                ignored.setdefault(name, []).append(model)
    for name, models in sorted(ignored.items()):
        examples = ", ".join(models[:3])
        reading.left_out.append(
            f"{name}: no meter for it; {len(models)} models ({examples} …) are sold without"
        )
    return reading


def _mapped(model: str, entry: Mapping[str, Any], *, credit_usd: Decimal, margin: Decimal) -> Mapped | str:
    """The model with its lines, or the reason why it has none."""
    mode = str(entry.get("mode") or "")
    if mode not in _MODES:
        return f"mode {mode or 'unknown'} has no meter"
    modality, main = _MODES[mode]
    key = key_of(model)
    if not key or len(key) > 100:
        return "no key can be made of its name"
    costs = _costs(entry, mode)
    if isinstance(costs, str):
        return costs
    if not any(costs.get(meter) for meter in main):
        has = ", ".join(name for name, figure in entry.items() if "cost" in name and figure) or "nothing"
        return f"no price above zero for {' or '.join(main)} (it prices {has})"
    lines = tuple(_line(meter, cost / credit_usd * (1 + margin)) for meter, cost in costs.items())
    exact = {meter: plain(cost / credit_usd) for meter, cost in costs.items()}
    return Mapped(model, key, modality, str(entry.get("litellm_provider") or ""), lines, exact)


def _costs(entry: Mapping[str, Any], mode: str) -> dict[str, Decimal] | str:
    """Dollars per unit of each meter that the entry prices, or the error of a figure."""
    audio = mode.startswith("audio_")
    costs: dict[str, Decimal] = {}
    for meter, names in _COSTS.items():
        names = (*names, *_AUDIO.get(meter, ())) if audio else names
        figures = [entry[name] for name in names if entry.get(name) is not None]
        wrong = _wrong(figures)
        if wrong:
            return wrong
        if figures:
            costs[meter] = max(Decimal(figure) for figure in figures)
    seconds = [entry[name] for name in _PER_SECOND if entry.get(name) is not None]
    wrong = _wrong(seconds)
    if wrong:
        return wrong
    if any(seconds):
        costs["seconds"] = sum((Decimal(figure) for figure in seconds), Decimal(0))
    # The first of the mode's main prices pays for the call: the others measure the same use.
    main = _MODES[mode][1]
    by = next((meter for meter in main if costs.get(meter)), None)
    if by in ("seconds", "characters", "images", "uses"):
        return {by: costs[by]}
    return {meter: cost for meter, cost in costs.items() if meter.endswith("tokens")}


def _wrong(figures: list[Any]) -> str:
    for figure in figures:
        if isinstance(figure, bool) or not isinstance(figure, int | Decimal):
            return f"{figure!r} is no price"
        if not Decimal(figure).is_finite() or figure < 0:
            return f"{figure} is no price"
    return ""


def _line(meter: str, credits: Decimal) -> RateLine:
    per = _MILLION if meter in _PER_MILLION else 1
    return RateLine(meter, (Band(None, (credits * per).quantize(PLACES, rounding=ROUND_UP)),), per=per)


def _ignored_costs(entry: Mapping[str, Any]) -> list[str]:
    """Costs of the entry that have no line."""
    mapped_names = {name for names in (*_COSTS.values(), *_AUDIO.values(), _PER_SECOND) for name in names}
    return [
        name
        for name, figure in entry.items()
        if "cost" in name and name not in mapped_names and isinstance(figure, int | Decimal) and figure
    ]


def key_of(name: str) -> str:
    """The name in the letters that keys and tags of a catalogue have; empty if none is left."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")
