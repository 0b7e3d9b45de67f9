"""An account with credits, and programs that may spend them."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from tests import openapi

SONNET = "claude-sonnet-4"  # 11 credits for 5,000 tokens


@pytest.fixture
def account(catalogue: None, alice: User) -> Account:
    """Alice's own account: the free plan's 100 daily credits, and nothing else."""
    return Account.objects.get(person=alice)


@pytest.fixture
def api(account: Account, alice: User, api_of: Any) -> Any:
    """Alice's own program, with every scope."""
    return api_of(alice)


def give(account: Account, credits: str, **terms: Any) -> Any:
    """Credits beside the plan's."""
    told = {"kind": "top_up", "label": "Pack", "key": f"test:{credits}:{len(terms)}"} | terms
    return ledger.grant(account_id=account.pk, credits=Decimal(credits), now=timezone.now(), **told)


def use(tokens: int = 5000, **fields: Any) -> dict[str, Any]:
    """A use of Claude Sonnet 4: 5,000 tokens cost 11 credits."""
    return {"service": SONNET, "usage": {"tokens": tokens}, **fields}


@pytest.fixture(autouse=True)
def every_answer_agrees_with_the_document() -> Iterator[None]:
    with openapi.every_answer_agrees():
        yield
