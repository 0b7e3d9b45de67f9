"""The random choices of a history, some of which a step may name.

A history is a list of steps such as `pay_a_page card=chargeDeclined`: what a step does not name is drawn.
"""

import random
from collections.abc import Sequence
from typing import Any


class Choices(random.Random):
    """Draws by a seed; `named` holds what the present step names, as text."""

    named: dict[str, str]

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.named = {}

    def pick(self, name: str, options: Sequence[Any]) -> Any:
        """One of the options: the one that the step names, where it is among them."""
        drawn = self.choice(options)
        return next((option for option in options if str(option) == self.named.get(name)), drawn)
