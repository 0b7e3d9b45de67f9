"""An account with credits, and API clients that can spend them."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from tests import openapi

SONNET = "claude-sonnet-4"  # 11 credits for 5,000 tokens


@pytest.fixture
def account(catalogue: None, alice: User) -> Account:
    """Alice's personal account with the free plan's 100 daily credits."""
    return Account.objects.get(person=alice)


@pytest.fixture
def api(account: Account, alice: User, api_of: Any) -> Any:
    """A client with a key of Alice's account and every scope."""
    return api_of(alice)


def give(account: Account, credits: str, **terms: Any) -> Any:
    """Grant credits in addition to the plan's."""
    fields = {"kind": "top_up", "label": "Pack", "key": f"test:{credits}:{len(terms)}"} | terms
    return ledger.grant(account_id=account.pk, credits=Decimal(credits), now=timezone.now(), **fields)


def use(tokens: int = 5000, **fields: Any) -> dict[str, Any]:
    """A use of Claude Sonnet 4: 5,000 tokens cost 11 credits."""
    return {"service": SONNET, "usage": {"tokens": tokens}, **fields}


@pytest.fixture(autouse=True)
def every_response_matches_the_document() -> Iterator[None]:
    with openapi.every_answer_agrees():
        yield


@pytest.fixture
def workshop(settings: Any) -> None:
    """The catalogue of workshop.toml: every kind of price and coverage. Request it before any user."""
    settings.CATALOGUE = str(Path(__file__).with_name("workshop.toml"))
