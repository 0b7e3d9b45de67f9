"""Random histories of a whole account against the sandbox: packs, plans, cards, refunds, disputes, faults.

The suite takes a sample; `make histories` takes thousands. Each history has its own seed, which its failure
prints: `make histories HISTORY=…` repeats it.
"""

import logging
import os
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import stripe
import time_machine
from django.db import transaction
from django.test import RequestFactory
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Promotion
from billing.stripe_gateway import client as gateway_client
from billing.subscriptions import plan_terms
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Pack
from sandbox import switches
from sandbox.api import endpoint
from tests.billing.conftest import change_policies
from tests.billing.histories import situations, visits
from tests.billing.histories.choices import Choices
from tests.billing.histories.connection import Connection
from tests.billing.histories.situations import SITUATIONS
from tests.billing.histories.whole_account import WholeAccount
from tests.billing.ledger.examples import SEED
from tests.billing.stripe_sandbox import BASE, connect

pytestmark = pytest.mark.django_db
HISTORIES = visits.number_of(__file__, in_suite=8)
STEPS = 10
METHODS = ["card", "sepa_debit", "customer_balance"]


class Direct(stripe.HTTPClient):
    """Calls the sandbox's view without middleware, and lets the process die after a request."""

    name = "direct"
    requests = RequestFactory()

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **kwargs: Any) -> Any:
        path, _, query = url.removeprefix(BASE).partition("?")
        request = self.requests.generic(
            method.upper(),
            path,
            post_data or "",
            content_type="application/x-www-form-urlencoded",
            QUERY_STRING=query,
            headers={name: value for name, value in headers.items() if name.lower() != "content-type"},
        )
        answer = endpoint.api(request, path.removeprefix("/v1/"))
        Connection.after_request()
        return answer.content.decode(), answer.status_code, dict(answer.headers)

    def close(self) -> None:
        pass


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction like that of a test: requests to Stripe are allowed in it, and it is rolled back."""
    block = transaction.atomic()
    block._from_testcase = True
    with block:
        yield
        transaction.set_rollback(True)


@pytest.fixture
def sandbox(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(settings, monkeypatch)
    client = stripe.StripeClient(
        "sk_test_sandbox", base_addresses={"api": BASE}, http_client=Direct(), max_network_retries=0
    )
    monkeypatch.setattr(gateway_client, "_client", lambda *_: client)
    monkeypatch.setattr(switches, "occurs", _occurs_if_any_is_on)
    for name in ("stripe", "django.request"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)


_occurs = switches.occurs


def _occurs_if_any_is_on(fault: switches.Fault) -> switches.State | None:
    """Without a query when the history has turned no switch on."""
    return _occurs(fault) if Connection.switched else None


def codes() -> None:
    now = timezone.now()
    times: Any = {"starts_at": now - timedelta(days=1), "ends_at": now + timedelta(days=900)}
    Promotion.objects.create(code="HALF", label="Half", gives="discount", percent_off=50, **times)
    Promotion.objects.create(code="GIFT", label="Gift", gives="credits", credits=100, **times)
    Promotion.objects.create(code="ALL", label="All", gives="discount", percent_off=100, **times)


def run(seed: str, account: Account, user: User) -> Counter[str] | None:
    """Run one history and return its visits; None, and its steps printed, when it fails.

    The seed ends with the name of the situation in which the history begins.
    """
    choices = Choices(seed)
    start = timezone.now().replace(microsecond=0) + timedelta(hours=choices.randint(0, 24 * 40))
    history = None
    try:
        with rolled_back(), time_machine.travel(start, tick=False) as clock:
            codes()
            history = WholeAccount(account, user, choices, clock)
            if steps := SITUATIONS[seed.rpartition(":")[2]]:
                history.play(steps)
                more = choices.randint(0, STEPS)
            else:
                history.begin()
                more = choices.randint(STEPS // 2, STEPS * 3 // 2)
            for _ in range(more):
                history.step()
            history.end()
    except Exception:
        steps = "\n".join(history.log) if history else ""
        print(f'{steps}\n{traceback.format_exc(limit=-4)}repeat with: make histories HISTORY="{seed}"\n')
        return None
    finally:
        plan_terms.forget_all()
        catalogue_cache.forget()
        Connection.switched = False
    return history.visits


@pytest.mark.fault("P4", "P5", "P6", "P7", "P12", "P13", "P14", "P15", "P17", "P20", "P22")
def test_every_history_of_a_whole_account_keeps_money_and_credits_together(
    refund_window: None, sandbox: None, account: Account, alice: User, bob: User
) -> None:
    only = os.environ.get("HISTORY")
    for pack in Pack.objects.all():
        pack.prices |= {"jpy": pack.prices["usd"] * 3 // 2, "kwd": pack.prices["usd"] * 3}
        pack.prices["kwd"] -= pack.prices["kwd"] % 10
        pack.payment_methods = {"jpy": ["card"], "kwd": ["card"]}
        pack.save()
    change_policies(pause={"most_months": 3}, payment_methods=METHODS)
    visited: Counter[str] = Counter()
    names = iter([only]) if only else situations.drawn(visited, number=HISTORIES, seed=SEED)
    failed = []
    for number, name in enumerate(names):
        seed = only or f"{SEED}:{number}:{name}"
        if (counted := run(seed, account, alice)) is None:
            failed.append(seed)
        else:
            visited.update(counted)
            visits.save(counted + Counter(["histories of a whole account"]))
    assert failed == [], "their steps are printed above"
