"""How many histories a test runs, and what they led to, in the file that `make histories` names."""

import json
import os
from collections import Counter
from pathlib import Path

from accounts.models import Account
from billing.models import Purchase, StripeEvent, Subscription, SurplusSubscription
from sandbox import store


def number_of(test: str, *, in_suite: int) -> int:
    """The number of histories of a test file: `in_suite`, or what `make histories` asks for."""
    return int(os.environ.get(f"HISTORIES_{Path(test).name}") or os.environ.get("HISTORIES") or in_suite)


def save(counted: Counter[str]) -> None:
    """Add the counts to the file VISITS; without it, do nothing."""
    if name := os.environ.get("VISITS"):
        path = Path(name)
        before = Counter(json.loads(path.read_text())) if path.exists() else Counter()
        path.write_text(json.dumps(before + counted))


def of_states(account: Account) -> Counter[str]:
    """The states in which a history of a whole account has ended."""
    subscription = Subscription.objects.get(account=account)
    counted = Counter([f"ends on {subscription.plan}, {subscription.state}"])
    for purchase in Purchase.objects.filter(account=account):
        counted[f"purchase {purchase.status}"] += 1
        if purchase.status == "paid":
            counted[f"paid in {purchase.currency}" if purchase.amount else "paid by a code"] += 1
            if purchase.tax:
                counted[f"paid with {purchase.tax_behavior} tax: {purchase.kind}, {purchase.origin}"] += 1
    counted.update(f"subscription {body['status']}" for body in store.where("subscription"))
    counted.update(f"dispute ends {body['status']}" for body in store.where("dispute"))
    counted["second subscription paid"] += SurplusSubscription.objects.filter(account=account).count()
    assert not StripeEvent.objects.filter(state="quarantined").exists()
    return counted
