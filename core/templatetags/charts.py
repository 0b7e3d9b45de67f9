"""Charts as server-side SVG: `day_chart`, `balance_chart`, `share_bars`, `stacked_bar`.

Invariant: every figure of a chart is also present as text. The bars of `day_chart` are built in Python: there
may be 366, and a template takes 0.1 ms for each.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from core import charts
from core.templatetags.credits import credits

register = template.Library()
_POINT = """<g class="chart-point" tabindex="{}" role="img" aria-label="{}: {} {}">
<rect class="chart-hit" x="{}" width="{}" y="0" height="100%"/>
{}
<text class="chart-value" x="{}" y="0" dy="-14" text-anchor="{}">{} · {} {}</text>
</g>
"""
_BAR = '<rect class="chart-bar" x="{}" width="{}" y="{}" height="{}" rx="2"/>'
_SLICE = '<rect class="chart-bar chart-part-{}" x="{}" width="{}" y="{}" height="{}"/>'
_CELL = '<td class="number">{}</td>'


@register.inclusion_tag("_day_chart.html")
def day_chart(
    points: Sequence[tuple[str, Decimal]],
    *,
    title: str,
    unit: str,
    parts: Sequence[tuple[str, Sequence[Decimal]]] = (),
    previous: Sequence[Decimal] = (),
) -> dict[str, Any]:
    """Vertical bars for (label, value) points; the value shows on hover and focus, the table has all.

    `parts`: name and values of each part of the bars, from the bottom up, in all the values of the points.
    `previous`: values of an earlier period, shown as a line.
    """
    every = charts.label_every(len(points))
    highest = max(previous, default=Decimal(0))
    bars = charts.bars_of(points, highest=highest)
    values = [credits(bar.value) for bar in bars]
    ticks = charts.ticks_of([highest, *(value for _, value in points)])
    return {
        "title": title,
        "unit": unit,
        "ticks": ticks,
        "points": format_html_join(
            "",
            _POINT,
            (
                (
                    *("0" if bar is bars[-1] else "-1", bar.label, value, unit, bar.slot_x, bar.slot_width),
                    _shape(bar, [series[index] for _name, series in parts]),
                    *(bar.middle, bar.anchor, bar.label, value, unit),
                )
                for index, (bar, value) in enumerate(zip(bars, values, strict=True))
            ),
        ),
        "line": _outline(previous, ticks[-1].value) if highest else "",
        "parts": list(enumerate(name for name, _series in parts)),
        "has_previous": bool(highest),
        "rows": format_html_join(
            "",
            '<tr><th scope="row">{}</th>{}</tr>',
            (
                (bar.label, format_html_join("", _CELL, ((credits(cell),) for cell in row)))
                for bar, row in zip(bars, _rows(points, parts, previous if highest else ()), strict=True)
            ),
        ),
        "labelled": [bar for index, bar in enumerate(bars) if index % every == 0],
    }


def _shape(bar: charts.Bar, parts: Sequence[Decimal]) -> SafeString:
    """The bar, or its parts."""
    if not parts:
        return format_html(_BAR, bar.x, bar.width, bar.y, bar.height)
    slices = charts.slices_of(bar, parts)
    return format_html_join("", _SLICE, ((one.place, bar.x, bar.width, one.y, one.height) for one in slices))


def _outline(values: Sequence[Decimal], top: Decimal) -> str:
    """A line through the middle of each slot."""
    width = Decimal(1) / max(1, len(values))
    return charts.outline_of([(width * index + width / 2, value) for index, value in enumerate(values)], top)


def _rows(
    points: Sequence[tuple[str, Decimal]],
    parts: Sequence[tuple[str, Sequence[Decimal]]],
    previous: Sequence[Decimal],
) -> list[tuple[Decimal, ...]]:
    """The cells of each row of the table: the parts, the value, and that of the earlier period."""
    columns = [*(series for _name, series in parts), [value for _label, value in points]]
    return list(zip(*columns, *([previous] if previous else []), strict=True))


@register.inclusion_tag("_balance_chart.html")
def balance_chart(
    lines: Sequence[Sequence[tuple[Decimal, Decimal]]], labels: Sequence[tuple[Decimal, str]], *, title: str
) -> dict[str, Any]:
    """Lines of (share of the width, value) points: the first is the main one, the others bound its range.

    `labels`: (share of the width, text) below the axis. The page states the figures as text beside the chart.
    """
    values = [value for line in lines for _x, value in line]
    top = charts.round_ticks(max(values, default=Decimal(0)))[-1]
    main, *bounds = lines
    area = [*bounds[0], *reversed(bounds[1])] if len(bounds) == 2 else []
    return {
        "title": title,
        "ticks": charts.ticks_of(values),
        "line": charts.outline_of(main, top),
        "area": charts.outline_of(area, top),
        "labels": [
            {
                "x": charts.percent(x, Decimal(1)),
                "anchor": "start" if x < Decimal("0.12") else "middle",
                "text": text,
            }
            for x, text in labels
        ],
    }


@register.inclusion_tag("_share_bars.html")
def share_bars(rows: Sequence[dict[str, Any]], *, title: str, unit: str) -> dict[str, Any]:
    """Horizontal bars for rows of {name, credits, url?}, longest first, each a share of the longest."""
    longest = max((row["credits"] for row in rows), default=Decimal(0))
    total = sum((row["credits"] for row in rows), Decimal(0))
    return {
        "title": title,
        "unit": unit,
        "rows": [
            {
                **row,
                "width": charts.percent(row["credits"], longest),
                "share": f"{row['credits'] * 100 / total:.0f}" if total else "0",
            }
            for row in rows
        ],
    }


@register.inclusion_tag("_stacked_bar.html")
def stacked_bar(parts: Sequence[tuple[str, Decimal]], *, title: str) -> dict[str, Any]:
    """One bar made of (kind, amount) parts in order, each as wide as its share."""
    whole = sum((amount for _, amount in parts), Decimal(0))
    gone = Decimal(0)
    pieces = []
    for kind, amount in parts:
        width = charts.percent(amount, whole)
        pieces.append({"kind": kind, "x": charts.percent(gone, whole), "width": width})
        gone += amount
    return {"title": title, "pieces": pieces}
