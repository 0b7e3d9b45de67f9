"""Charts show their figures exactly."""

from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.template import Context, Template
from hypothesis import given
from hypothesis import strategies as st

from core import charts
from tests.some import some

amounts = st.decimals(0, 10**12, places=6)


@given(amounts)
def test_the_highest_tick_covers_the_highest_value_and_ticks_are_few(highest: Decimal) -> None:
    ticks = charts.round_ticks(highest)
    assert ticks[0] == 0
    assert ticks[-1] >= highest
    assert 2 <= len(ticks) <= 7
    steps = {later - earlier for earlier, later in pairwise(ticks)}
    assert len(steps) == 1
    assert steps.pop().normalize().as_tuple().digits in {(1,), (2,), (2, 5), (5,)}


@given(st.lists(amounts, min_size=1, max_size=90))
def test_bars_are_shares_of_the_highest_tick(values: list[Decimal]) -> None:
    top = charts.round_ticks(max(values))[-1]
    bars = charts.bars_of([(str(index), value) for index, value in enumerate(values)])
    for bar, value in some(zip(bars, values, strict=True)):
        height = Decimal(bar.height.rstrip("%"))
        if value == 0:
            assert height == 0
        else:
            assert height == pytest.approx(max(value * 100 / top, Decimal("0.8")), abs=Decimal("0.001"))


def test_about_six_points_have_a_label() -> None:
    assert charts.label_every(30) == 5
    assert charts.label_every(7) == 2
    assert charts.label_every(1) == 1


def rendered(template: str, **context: object) -> str:
    return Template("{% load charts %}" + template).render(Context(context))


def test_the_table_beside_the_chart_contains_every_figure() -> None:
    points = [("1 Nov", Decimal("1234.5")), ("2 Nov", Decimal("0.000001"))]
    page = rendered('{% day_chart points title="Spent" unit="credits" %}', points=points)
    table = page[page.index("<table") : page.index("</table>")]
    assert "1,234.5" in table
    assert "0.000001" in table


def test_every_bar_has_a_label_for_screen_readers() -> None:
    page = rendered(
        '{% day_chart points title="Spent" unit="credits" %}', points=[("1 Nov", Decimal("5.25"))]
    )
    assert 'aria-label="1 Nov: 5.25 credits"' in page
    assert 'tabindex="0"' in page


@pytest.mark.fault("W7")
def test_a_name_in_a_chart_is_escaped() -> None:
    rows = [{"name": "<script>alert(1)</script>", "credits": Decimal(1), "url": "/usage/?a=1&b=2"}]
    page = rendered('{% share_bars rows title="By" unit="credits" %}', rows=rows)
    assert "<script>" not in page
    ElementTree.fromstring(page)


def test_horizontal_bars_are_shares_of_the_longest_and_percentages_of_the_total() -> None:
    rows = [{"name": "a", "credits": Decimal(3)}, {"name": "b", "credits": Decimal(1)}]
    page = rendered('{% share_bars rows title="By" unit="credits" %}', rows=rows)
    assert 'width="100.000%"' in page
    assert 'width="33.333%"' in page
    assert "75%" in page and "25%" in page


def test_parts_of_a_balance_are_drawn_side_by_side() -> None:
    parts = [("daily", Decimal(25)), ("top_up", Decimal(75))]
    page = rendered('{% stacked_bar parts title="Parts" %}', parts=parts)
    assert 'class="kind-daily" x="0.000%" width="25.000%"' in page
    assert 'class="kind-top_up" x="25.000%" width="75.000%"' in page


def test_bars_stand_side_by_side_over_the_whole_width() -> None:
    values = [Decimal(4), Decimal(0), Decimal("0.001"), Decimal(10)]
    bars = charts.bars_of([(str(number), value) for number, value in enumerate(values)])
    assert [(bar.label, bar.value) for bar in bars] == [(str(n), value) for n, value in enumerate(values)]
    assert [(bar.slot_x, bar.slot_width) for bar in bars] == [
        (f"{place}.000%", "25.000%") for place in (0, 25, 50, 75)
    ]
    assert [(bar.x, bar.width) for bar in bars[:2]] == [("3.500%", "18.000%"), ("28.500%", "18.000%")]
    assert [(bar.y, bar.height) for bar in bars] == [
        ("60.000%", "40.000%"),
        ("100.000%", "0.000%"),
        ("99.200%", "0.800%"),
        ("0.000%", "100.000%"),
    ]
    assert [bar.middle for bar in bars] == ["12.500%", "37.500%", "62.500%", "87.500%"]
    assert {bar.anchor for bar in bars} == {"middle"}
    many = charts.bars_of([(str(number), Decimal(1)) for number in range(20)])
    anchors = [bar.anchor for bar in many]
    assert anchors == ["start"] * 2 + ["middle"] * 16 + ["end"] * 2


def test_the_ticks_of_a_chart_go_up_in_round_steps() -> None:
    def ticks(*values: str) -> list[tuple[str, str]]:
        return [(f"{tick.value:f}", tick.y) for tick in charts.ticks_of([Decimal(value) for value in values])]

    assert ticks() == ticks("0") == [("0", "100.000%"), ("1", "0.000%")]
    assert ticks("3", "10") == [
        ("0", "100.000%"),
        ("2", "80.000%"),
        ("4", "60.000%"),
        ("6", "40.000%"),
        ("8", "20.000%"),
        ("10", "0.000%"),
    ]
    assert [value for value, _y in ticks("10.1")] == ["0.0", "2.5", "5.0", "7.5", "10.0", "12.5"]
    assert charts.percent(Decimal(1), Decimal(0)) == "0.000%"
    assert [charts.label_every(count) for count in (0, 6, 12, 13, 90)] == [1, 1, 2, 3, 15]


@given(st.lists(st.lists(amounts, min_size=3, max_size=3), min_size=1, max_size=40))
def test_slices_add_up_to_their_bar_and_stand_on_each_other(columns: list[list[Decimal]]) -> None:
    bars = charts.bars_of([(str(index), sum(column, Decimal(0))) for index, column in enumerate(columns)])
    for bar, column in some(zip(bars, columns, strict=True)):
        slices = charts.slices_of(bar, column)
        assert [one.place for one in slices] == [place for place, part in enumerate(column) if part]
        heights = [Decimal(one.height.rstrip("%")) for one in slices]
        assert sum(heights, Decimal(0)) == pytest.approx(Decimal(bar.height.rstrip("%")), abs=Decimal("0.01"))
        if slices:
            assert Decimal(slices[-1].y.rstrip("%")) == pytest.approx(
                Decimal(bar.y.rstrip("%")), abs=Decimal("0.01")
            )


def test_bars_and_the_line_of_the_period_before_have_one_scale() -> None:
    points = [("1 Nov", Decimal(50)), ("2 Nov", Decimal(10))]
    page = rendered(
        '{% day_chart points title="Spent" unit="credits" previous=before %}',
        points=points,
        before=[Decimal(0), Decimal(100)],
    )
    assert 'height="50.000%"' in page and 'points="25.00,100.00 75.00,0.00"' in page
    assert "Period before" in page
    assert "<polyline" not in rendered('{% day_chart points title="Spent" unit="credits" %}', points=points)


def test_the_table_has_every_part_and_the_period_before() -> None:
    page = rendered(
        '{% day_chart points title="Spent" unit="credits" parts=parts previous=before %}',
        points=[("1 Nov", Decimal("7.5"))],
        parts=[("<Sonnet>", [Decimal("5.25")]), ("Other", [Decimal("2.25")])],
        before=[Decimal("3.125")],
    )
    table = page[page.index("<table") : page.index("</table>")]
    cells = [cell.split("<")[0] for cell in table.split('<td class="number">')[1:]]
    assert cells == ["5.25", "2.25", "7.5", "3.125"]
    assert "&lt;Sonnet&gt;" in page and "<Sonnet>" not in page
    assert page.count("chart-bar chart-part-") == 2
