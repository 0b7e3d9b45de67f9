"""One search for a customer: an e-mail address, a name, any public id, or an id of Stripe.

Invariant: every lookup of an id uses an index, except that of a charge at Stripe, which is not stored with a
purchase and is looked up in the received events.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Q, QuerySet

from accounts.models import Account, Membership, User
from billing.models import (
    BillingProfile,
    Dispute,
    Purchase,
    Refund,
    StripeEvent,
    Subscription,
    SurplusSubscription,
)
from core.models import Identified

MOST = 50
Ids = set[UUID]


def find(text: str) -> list[Account]:
    """The accounts that the text names, at most MOST: an exact id first, then addresses, then names."""
    term = text.strip()
    if not term or "\0" in term:
        return []
    found = _of_stripe(term) | _of_public_id(term)
    if not found:
        found = _of_person(term)
    return list(Account.objects.filter(pk__in=found).select_related("person").order_by("name", "pk")[:MOST])


def _of_public_id(term: str) -> Ids:
    """Accounts of the row with this public id, of whatever kind. Prefixes of two kinds may be the same."""
    found: Ids = set()
    for model in apps.get_models():
        if not issubclass(model, Identified):
            continue
        pk = model.uuid_of(term)
        if pk is None:
            continue
        if model is Account:
            found.add(pk)
        elif model is User:
            found |= set(Membership.objects.filter(user_id=pk).values_list("account_id", flat=True))
        elif any(field.name == "account" for field in model._meta.concrete_fields):
            rows: Any = model._default_manager
            rows = rows.filter(pk=pk, account_id__isnull=False)
            found |= set(rows.values_list("account_id", flat=True))
    return found


def _accounts(rows: QuerySet[Any]) -> Ids:
    return set(rows.values_list("account_id", flat=True)[:MOST])


_STRIPE: dict[str, Callable[[str], Ids]] = {
    "cus_": lambda term: _accounts(BillingProfile.objects.filter(stripe_customer_id=term)),
    "sub_": lambda term: (
        _accounts(Subscription.objects.filter(stripe_subscription_id=term))
        | _accounts(SurplusSubscription.objects.filter(stripe_subscription_id=term))
        | _accounts(Purchase.objects.filter(stripe_subscription_id=term))
    ),
    "pi_": lambda term: _accounts(Purchase.objects.filter(stripe_payment_id=term)),
    "in_": lambda term: _accounts(Purchase.objects.filter(stripe_invoice_id=term)),
    "cs_": lambda term: _accounts(Purchase.objects.filter(stripe_session_id=term)),
    "re_": lambda term: _accounts(Refund.objects.filter(stripe_refund_id=term)),
    "dp_": lambda term: _accounts(Dispute.objects.filter(stripe_dispute_id=term)),
    "du_": lambda term: _accounts(Dispute.objects.filter(stripe_dispute_id=term)),
    "ch_": lambda term: _of_charge(term),
    "py_": lambda term: _of_charge(term),
    "evt_": lambda term: _of_events(StripeEvent.objects.filter(stripe_id=term)),
}


def _of_stripe(term: str) -> Ids:
    for prefix, accounts in _STRIPE.items():
        if term.startswith(prefix):
            return accounts(term)
    return set()


def _of_charge(term: str) -> Ids:
    """https://docs.stripe.com/api/charges/object: a charge names its payment intent and customer."""
    events = StripeEvent.objects.filter(type__startswith="charge.")
    return _of_events(
        events.filter(Q(payload__data__object__id=term) | Q(payload__data__object__charge=term))[:5]
    )


def _of_events(events: QuerySet[StripeEvent]) -> Ids:
    """Accounts of the customer, payment, invoice or subscription that the events' objects name."""
    found: Ids = set()
    for event in events:
        shown = event.payload.get("data", {}).get("object", {})
        for name in ("customer", "payment_intent", "invoice", "subscription", "id"):
            value = shown.get(name)
            if isinstance(value, str) and not value.startswith(("ch_", "py_", "evt_")):
                found |= _of_stripe(value)
    return found


def _of_person(term: str) -> Ids:
    exact = Q(email__iexact=term) | Q(emailaddress__email__iexact=term)
    users = User.objects.filter(exact) if "@" in term else User.objects.none()
    found = _accounts(Membership.objects.filter(user__in=users))
    found |= set(Account.objects.filter(external_id=term).values_list("pk", flat=True))
    found |= _accounts(Purchase.objects.filter(invoice_number=term))
    if found:
        return found
    words = Q(name__icontains=term) | Q(memberships__user__email__icontains=term)
    for part in term.split()[:3]:
        words |= Q(memberships__user__first_name__iexact=part) | Q(memberships__user__last_name__iexact=part)
    return set(Account.objects.filter(words).values_list("pk", flat=True)[:MOST])
