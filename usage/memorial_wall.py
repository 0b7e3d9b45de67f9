"""The memorial wall: early-bird members who want to be seen (REFLY-11).

Invariants: nobody stands on it who has not said so; whoever leaves the plan that carries the mark is off it
at once; it shows a name and nothing else of an account. Products without a wall have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import Account
from billing import selectors
from billing.models import Subscription
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan

MOST = 2000  # names on the page


class NoMark(Exception):
    """The account's plan carries no mark, or the product has no wall."""


@dataclass(frozen=True)
class Member:
    name: str
    mark: str
    since: datetime


def exists() -> bool:
    return catalogue_cache.current().policies.memorial_wall


def members() -> Sequence[Member]:
    """Who stands on the wall, the longest members first."""
    marks = dict(Plan.objects.exclude(badge="").values_list("key", "badge"))
    rows = Subscription.objects.filter(
        plan__in=marks, account__on_wall=True, account__erased_at=None
    ).order_by("created_at", "id")
    found = rows.values_list("account__name", "plan", "created_at")[:MOST]
    return [Member(name=name, mark=marks[plan], since=since) for name, plan, since in found]


def stand(account: Account, *, on: bool) -> None:
    """Put the account's name on the wall, or take it off. Raises NoMark."""
    if on and not (exists() and selectors.plan_terms(account.pk).badge):
        raise NoMark
    Account.objects.filter(pk=account.pk).update(on_wall=on)
