"""The order of the test files, and the list of the slowest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tests import order


@dataclass
class Item:
    path: Path
    name: str


@dataclass
class Report:
    nodeid: str
    duration: float


def test_long_files_are_first_and_the_order_of_the_others_stays() -> None:
    shuffled = ["tests/z.py", order.LONGEST[1], "tests/a.py", order.LONGEST[0], "tests/z.py"]
    items: Any = [Item(order.BASE_DIR / file, str(number)) for number, file in enumerate(shuffled)]
    order.longest_first(items)
    assert [cast(Item, item).name for item in items] == ["3", "1", "0", "2", "4"]


def test_every_listed_file_exists_once() -> None:
    assert [file for file in order.LONGEST if not (order.BASE_DIR / file).is_file()] == []
    assert len(set(order.LONGEST)) == len(order.LONGEST)


def test_the_durations_of_a_files_tests_are_added() -> None:
    reports = [Report("a.py::one", 1.0), Report("b.py::one", 2.5), Report("a.py::two[a::b]", 2.0)]
    assert order.slowest_files(reports, 1) == ["3.0s a.py"]
    assert order.slowest_files(reports, 5) == ["3.0s a.py", "2.5s b.py"]
