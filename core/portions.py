"""Reading a long iterable in portions."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def portions(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items each; the last one may be shorter."""
    iterator = iter(items)
    while portion := list(itertools.islice(iterator, size)):
        yield portion
