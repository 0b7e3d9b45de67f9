"""The public memorial wall: names of early-bird members who chose to be listed (REFLY-11).

Invariants: an account is listed only while it has opted in and its plan has a badge; the wall shows an
account's name, badge and date of membership, and nothing else. The catalogue decides whether there is a wall.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _

from accounts.models import Account
from billing.models import Subscription
from billing.subscriptions import plan_terms
from core.errors import Refusal
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan

MAX_NAMES = 2000


class NotEligible(Refusal):
    """The account's plan has no badge, or the product has no memorial wall."""

    code = "not_eligible"

    def __init__(self) -> None:
        super().__init__(_("Only members of a plan with a badge can be listed on the memorial wall."))


@dataclass(frozen=True)
class Member:
    name: str
    badge: str
    since: datetime


def exists() -> bool:
    """Whether the product has a memorial wall."""
    return catalogue_cache.current().policies.memorial_wall


def listed() -> QuerySet[Any]:
    """The subscriptions of listed accounts, with the badge of their plan."""
    badge = Subquery(Plan.objects.filter(key=OuterRef("plan")).values("badge"))
    subscriptions = Subscription.objects.filter(account__on_wall=True, account__erased_at=None)
    return subscriptions.annotate(badge=badge).filter(badge__gt="").select_related("account")


def member_of(subscription: Any) -> Member:
    """What the wall shows of one of `listed`."""
    return Member(name=subscription.account.name, badge=subscription.badge, since=subscription.created_at)


def members() -> Sequence[Member]:
    """The listed members, earliest first."""
    return [member_of(one) for one in listed().order_by("created_at", "id")[:MAX_NAMES]]


def set_listed(account: Account, *, listed: bool) -> None:
    """Add the account's name to the wall, or remove it. Raises NotEligible."""
    if listed and not (exists() and plan_terms.get(account.pk).badge):
        raise NotEligible
    Account.objects.filter(pk=account.pk).update(on_wall=listed)
