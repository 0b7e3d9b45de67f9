"""Draws mutations at random: the same seed and source give the same mutations in the same order.

The modules take turns, so that a run that ends early has tried about as many mutations of each.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.mutants import python_mutations, sql_mutations
from tests.mutants.mutation import MODULES, OTHERS, Mutation, files, module_of


def draw(tree: Path, seed: int, words: Sequence[str] = ()) -> Iterator[Mutation]:
    """The mutations in the order in which they are tried: of MODULES, or of files whose path has a word."""
    chance = random.Random(seed)
    waiting: defaultdict[str, list[Any]] = defaultdict(list)
    for file in files(tree):
        module = module_of(file)
        if any(word in file for word in words) if words else module in MODULES:
            waiting[module] += _of_file(file, (tree / file).read_text())
    for module in waiting:
        chance.shuffle(waiting[module])
    while any(waiting.values()):
        for module in MODULES | OTHERS:
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
