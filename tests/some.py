"""Collections that a test looks through."""

from collections.abc import Iterable
from typing import TypeVar

Element = TypeVar("Element")


def some(found: Iterable[Element]) -> list[Element]:
    """The elements, at least one: a loop over none of them would assert nothing."""
    elements = list(found)
    assert elements, "there is nothing to look at"
    return elements
