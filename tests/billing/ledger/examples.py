"""Settings of Hypothesis: the number of examples, and the seed that repeats a run.

Each test states its number of examples in the suite; `make model EXAMPLES=2000` takes more. A failure prints
its smallest example and a line `@reproduce_failure(...)` to paste above the test; the seed of a whole run
is printed at its head and is given again by SEED=….
"""

import os
import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
EXAMPLES = int(os.environ.get("EXAMPLES") or 0)


def profile(count: int, **more: Any) -> settings:
    """Return the settings of a test that takes `count` examples in the suite."""
    print(f"the run's seed: SEED={SEED}")
    return settings(
        max_examples=EXAMPLES or count,
        deadline=None,
        print_blob=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        **more,
    )


def examples(count: int) -> Callable[[Any], Any]:
    """Decorate a test with `count` examples (or EXAMPLES from the environment) and the run's seed."""

    def decorate(test: Any) -> Any:
        return profile(count)(seeded(SEED)(test))

    return decorate


def seeded_class(machine: Any) -> Any:
    """Return the state machine with the run's seed."""
    return seeded(SEED)(machine)
