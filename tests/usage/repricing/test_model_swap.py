"""The calls of one model priced on another: sums over the calls that both can price."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Charge
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import rate_cards
from pricing.models import Service
from pricing.rates import quotes
from tests.usage.spending import forget_newest_entry, give, spend
from usage import charging
from usage.repricing import model_swap
from usage.repricing.model_swap import Swap

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


@pytest.fixture
def account(clock: object, alice: User, account_of: AccountOf) -> Account:
    account = account_of(alice)
    give(account, "10000", timezone.now() - timedelta(days=60))
    return account


def use(
    account: Account, service: str, key: str, *, days_ago: int = 0, action: str = "", **usage: object
) -> Decimal:
    forget_newest_entry(account)
    made = charging.Use(account_id=account.pk, service=service, action=action, usage=usage)
    at = timezone.now() - timedelta(days=days_ago)
    return charging.charge(made, key=key, fingerprint=b"", now=at).credits


def swapped(account: Account, service: str = "claude-sonnet-4", other: str = "kimi-k2") -> Swap:
    return model_swap.preview(account, service=service, other=other, now=timezone.now())


def price(service: str, **usage: object) -> Decimal:
    catalogue = catalogue_cache.current()
    card = catalogue.card_at(timezone.now())
    assert card is not None
    return quotes.quote(catalogue.rates(card)[service], usage).credits


def test_the_same_usage_is_priced_on_the_other_model(account: Account) -> None:
    before = use(account, "claude-sonnet-4", "a", tokens=5000) + use(
        account, "claude-sonnet-4", "b", tokens=777
    )
    use(account, "gpt-4o", "c", tokens=5000)
    swap = swapped(account)
    assert (swap.calls, swap.before, swap.unpriced) == (2, before, 0)
    assert swap.after == price("kimi-k2", tokens=5000) + price("kimi-k2", tokens=777)
    assert swap.saving == before - swap.after > 0


def test_an_action_at_its_own_price_costs_the_same_on_every_model(account: Account) -> None:
    use(account, "claude-sonnet-4", "run", action="agent-run", uses=2)
    swap = swapped(account)
    assert (swap.calls, swap.before, swap.after) == (1, Decimal(10), Decimal(10))


def test_calls_before_the_last_thirty_days_and_calls_without_cost_are_left_out(account: Account) -> None:
    use(account, "claude-sonnet-4", "old", days_ago=30, tokens=5000)
    spend(account, "0", timezone.now(), service="claude-sonnet-4", covered_by="own_key")
    swap = swapped(account)
    assert (swap.calls, swap.unpriced) == (0, 0)
    assert model_swap.services_used(account, timezone.now()) == []


def test_a_call_of_a_given_amount_is_counted_and_in_neither_sum(account: Account) -> None:
    spend(account, "5", timezone.now(), service="claude-sonnet-4")
    swap = swapped(account)
    assert (swap.calls, swap.before, swap.after, swap.unpriced) == (0, 0, 0, 1)
    assert swap.reason == "These calls state their credits, not their usage."


def test_a_call_whose_credits_were_returned_is_left_out(account: Account) -> None:
    use(account, "claude-sonnet-4", "returned", days_ago=1, tokens=5000)
    charge = Charge.objects.get(account=account)
    ledger.reverse(
        account_id=account.pk, charge_id=charge.pk, key="back", reason="Wrong", credits=Decimal(1),
        now=timezone.now(),
    )  # fmt: skip
    kept = use(account, "claude-sonnet-4", "kept", days_ago=0, tokens=5000)
    swap = swapped(account)
    assert (swap.calls, swap.before, swap.unpriced) == (1, kept, 0)


def test_only_the_newest_calls_are_compared(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_swap, "MAX_CALLS", 2)
    use(account, "claude-sonnet-4", "old", days_ago=3, tokens=50_000)
    newest = sum(use(account, "claude-sonnet-4", f"n{n}", days_ago=2 - n, tokens=100) for n in range(2))
    swap = swapped(account)
    assert (swap.truncated, swap.calls, swap.before) == (True, 2, newest)


def test_only_models_of_the_same_kind_with_a_price_are_offered(account: Account) -> None:
    others = model_swap.others("claude-sonnet-4", timezone.now())
    assert "kimi-k2" in others and "claude-sonnet-4" not in others
    assert "seedance-1-lite" not in others, "a video model"
    assert model_swap.others("no-such-model", timezone.now()) == []
    Service.objects.filter(key="kimi-k2").update(retired_at=timezone.now())
    catalogue_cache.changed()
    assert "kimi-k2" not in model_swap.others("claude-sonnet-4", timezone.now())


def test_the_options_of_a_call_are_priced_on_the_other_model(account: Account) -> None:
    card = rate_cards.copy_in_force(effective_at=timezone.now(), source="staff", now=timezone.now())
    double = {"quality": {"default": "low", "multipliers": {"low": "1", "high": "2"}}}
    card.rates.filter(service__key__in=("claude-sonnet-4", "kimi-k2")).update(options=double)
    rate_cards.put_in_force(card, by="staff", now=timezone.now())
    made = charging.Use(
        account_id=account.pk,
        service="claude-sonnet-4",
        usage={"tokens": 5000},
        options={"quality": "high"},
    )
    charging.charge(made, key="high", fingerprint=b"", now=timezone.now())
    assert swapped(account).after == 2 * price("kimi-k2", tokens=5000)


def test_the_page_states_the_difference_and_links_to_the_calls(
    account: Account, alice: User, signed_in: SignedIn
) -> None:
    use(account, "claude-sonnet-4", "a", tokens=5000)
    page = signed_in(alice).get("/usage/swap/?service=claude-sonnet-4&other=kimi-k2").content.decode()
    assert "Kimi K2 instead of Claude Sonnet 4" in page and "credits less" in page
    assert "only=claude-sonnet-4" in page


@pytest.mark.parametrize("query", ["", "?service=gpt-4o", "?service=%00&other=%27", "?other=claude-sonnet-4"])
def test_other_choices_show_the_form_alone(
    account: Account, alice: User, signed_in: SignedIn, query: str
) -> None:
    use(account, "claude-sonnet-4", "a", tokens=5000)
    response = signed_in(alice).get(f"/usage/swap/{query}")
    assert response.status_code == 200 and "swap" not in response.context


def test_a_stranger_compares_own_calls_only(
    account: Account, charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    use(account, "claude-sonnet-4", "a", tokens=5000)
    account_of(charlie)
    page = signed_in(charlie).get("/usage/swap/?service=claude-sonnet-4&other=kimi-k2").content.decode()
    assert "No usage in the last 30 days" in page
