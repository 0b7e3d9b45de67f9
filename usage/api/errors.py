"""The 402 for insufficient credits, with the options that the account has. Other errors: core.problems."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from billing import ledger
from core.problems import Problem, as_problem
from usage import insufficient_credits


def insufficient(
    error: ledger.InsufficientCredits,
    account_id: UUID,
    now: datetime,
    *,
    options: Callable[[UUID, datetime], list[dict[str, Any]]] = insufficient_credits.options,
) -> Problem:
    """The problem with `ways_on`. A batch passes cached `options`."""
    problem = as_problem(error, now)
    problem.fields["ways_on"] = options(account_id, now)
    return problem
