"""Draws mutations at random: the same seed and source give the same mutations in the same order.

The modules take turns, so that a run that ends early has tried about as many mutations of each.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.mutants import python_mutations, sql_mutations
from tests.mutants.mutation import MODULES, Mutation, files, module_of


def draw(tree: Path, seed: int) -> Iterator[Mutation]:
    """Every mutation of the tree, in the order in which they are tried."""
    chance = random.Random(seed)
    waiting = defaultdict(list)
    for file in files(tree):
        waiting[module_of(file)] += _of_file(file, (tree / file).read_text())
    for module in MODULES:
        chance.shuffle(waiting[module])
    while any(waiting.values()):
        for module in MODULES:
            while waiting[module]:
                mutation = waiting[module].pop()()
                if mutation is not None:
                    yield mutation
                    break


def _of_file(file: str, text: str) -> list[partial[Mutation | None]]:
    """A function for each mutation: to make all of them takes minutes, and few are tried."""
    if file.endswith(".sql"):
        return [partial(sql_mutations.mutate, file, text, place) for place in sql_mutations.places(text)]
    return [partial(python_mutations.mutate, file, text, place) for place in python_mutations.places(text)]
