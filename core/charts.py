"""Geometry of the charts: round ticks, and bars as percentages of the plot. Pure functions.

Invariant: bars are exact shares of the highest tick; a value that is not zero has a visible bar.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
_SEEN = Decimal("0.8")  # per cent of the height: the smallest visible bar


@dataclass(frozen=True)
class Tick:
    value: Decimal
    y: str  # per cent from the top


@dataclass(frozen=True)
class Bar:
    label: str
    value: Decimal
    x: str
    width: str
    y: str
    height: str
    slot_x: str
    slot_width: str
    middle: str
    anchor: str  # alignment of the direct label: start, middle or end


def round_ticks(highest: Decimal, *, lines: int = 5) -> list[Decimal]:
    """Zero and up to `lines` round values, the last not below `highest`."""
    if highest <= 0:
        return [Decimal(0), Decimal(1)]
    rough = highest / lines
    power = Decimal(10) ** rough.adjusted()
    step = next(power * factor for factor in _STEPS if power * factor >= rough)
    count = int((highest / step).to_integral_value(ROUND_CEILING))
    return [step * i for i in range(count + 1)]


def percent(part: Decimal, whole: Decimal) -> str:
    return f"{(part * 100 / whole if whole else Decimal(0)):.3f}%"


def ticks_of(values: Sequence[Decimal]) -> list[Tick]:
    """The lines of a chart of these values, from the bottom up."""
    scale = round_ticks(max(values, default=Decimal(0)))
    return [Tick(value=value, y=percent(scale[-1] - value, scale[-1])) for value in scale]


@dataclass(frozen=True)
class Slice:
    """A part of a bar. `place` is its number in the order of the parts, from the bottom up."""

    place: int
    y: str
    height: str


def bars_of(points: Sequence[tuple[str, Decimal]], *, highest: Decimal = Decimal(0)) -> list[Bar]:
    """One vertical bar for each (label, value), side by side over the whole width.

    `highest`: a value that is not among the points and has to find room too.
    """
    top = round_ticks(max((value for _, value in points), default=Decimal(0)).max(highest))[-1]
    count = Decimal(len(points))
    bars = []
    for index, (label, value) in enumerate(points):
        slot, width = 100 * index / count, 100 / count
        height = max(value * 100 / top, _SEEN) if value else Decimal(0)
        middle = slot + width / 2
        bars.append(
            Bar(
                label=label,
                value=value,
                x=f"{slot + width * Decimal('0.14'):.3f}%",
                width=f"{width * Decimal('0.72'):.3f}%",
                y=f"{100 - height:.3f}%",
                height=f"{height:.3f}%",
                slot_x=f"{slot:.3f}%",
                slot_width=f"{width:.3f}%",
                middle=f"{middle:.3f}%",
                anchor="start" if middle < 12 else "end" if middle > 88 else "middle",
            )
        )
    return bars


def outline_of(points: Sequence[tuple[Decimal, Decimal]], top: Decimal) -> str:
    """The points (share of the width from 0 to 1, value) as an SVG list of points in a square of 100."""
    return " ".join(f"{x * 100:.2f},{100 - value * 100 / top:.2f}" for x, value in points)


def slices_of(bar: Bar, parts: Sequence[Decimal]) -> list[Slice]:
    """The parts of a bar, whose sum is its value, as shares of its height; parts of nothing are left out."""
    height = Decimal(bar.height.removesuffix("%"))
    slices, below = [], Decimal(0)
    for place, part in enumerate(parts):
        if part > 0:
            own = height * part / bar.value
            below += own
            slices.append(Slice(place=place, y=f"{100 - below:.3f}%", height=f"{own:.3f}%"))
    return slices


def label_every(count: int, *, wanted: int = 6) -> int:
    """Label each n-th point, so that about `wanted` labels stand below the axis."""
    return max(1, -(-count // wanted))
