"""Previews of plan changes: the price, the date, and what happens to credits.

Invariant: a preview carries a signed token with the account, the subscription's version and the amount, so
that a confirmation does exactly what was shown or is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core import signing
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import ledger, offers, stripe_gateway
from billing.models import Allowance, Subscription
from billing.payments import customers
from billing.subscriptions import grace, invoice_amounts, lifecycle, prices, proration
from billing.subscriptions.invoice_amounts import InvoiceAmounts
from core.errors import Refusal
from pricing.models import Plan

_SALT = "billing.subscriptions.changes"
TOKEN_LIFETIME = timedelta(minutes=30)
IMMEDIATE = frozenset({"upgrade", "switch"})  # the kinds that begin a new period at once


class ConfirmationStale(Refusal):
    """The subscription or a price changed after the preview was shown, or the token has expired."""

    code = "confirmation_stale"

    def __init__(self) -> None:
        super().__init__(_("The conditions have changed. Review the new preview and confirm it."))


class ChangeRefused(Refusal):
    """The change is not possible; `code` is the reason."""

    field = "plan"
    codes = (
        "already_on_plan",
        "cannot_pause",
        "not_paused",
        "nothing_to_cancel",
        "nothing_to_resume",
        "past_due",
        "paused",
        "renewal_pending",
    )

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class GrantOutcome:
    """What the change does to a grant: `stays`, `carried` (over), `lost`, or `until` (the period's end)."""

    label: str
    remaining: Decimal
    outcome: str


@dataclass(frozen=True)
class NewGrant:
    """Credits that an immediate change grants: the plan's, less the unused part of the current plan's."""

    label: str
    credits: Decimal


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The effect of a change. `due_now`: the amount charged at once, in minor units.

    `kind`: subscribe; upgrade; switch (another interval); downgrade; cancel; leave (an unpaid plan); keep
    (withdraw a change that has not taken effect).
    """

    kind: str
    plan: Plan
    interval: str
    currency: str
    amount: int
    due_now: int
    takes_effect: datetime
    leaves_legacy: bool
    amounts: InvoiceAmounts | None = None  # of an immediate change
    grants: list[GrantOutcome] = field(default_factory=list)
    new_grants: list[NewGrant] = field(default_factory=list)
    token: str = ""

    @property
    def shown_grants(self) -> list[NewGrant]:
        """The new grants without those of nothing."""
        return [grant for grant in self.new_grants if grant.credits]


def preview(account: Account, *, plan_key: str, interval: str, currency: str, now: datetime) -> Preview:
    """The effect of changing to a plan; for an immediate change the amounts come from Stripe.

    Raises ChangeRefused, offers.UnknownOffer, offers.UnknownCurrency and stripe_gateway's errors.
    """
    subscription = Subscription.objects.get(account=account)
    plan = Plan.objects.filter(key=plan_key).first()
    if plan is None:
        raise offers.UnknownOffer("plan")
    interval = (
        interval
        or subscription.interval
        or ("month" if "month" in plan.prices else next(iter(plan.prices), ""))
    )
    currency = subscription.currency if subscription.paid else currency
    kind = _kind(subscription, plan, interval)
    if kind in {"downgrade", *IMMEDIATE}:
        require_no_pending_renewal(subscription, now)
    amount = 0
    if kind in {"subscribe", "downgrade", *IMMEDIATE}:
        plan, amount = offers.get_plan_price(key=plan_key, interval=interval, currency=currency)
    elif kind == "keep":
        amount = subscription.amount
    # the clock of a test subscription at Stripe may be ahead of ours
    at = int((max(now, subscription.period_start) if subscription.paid else now).timestamp())
    due_now = {"subscribe": amount}.get(kind, 0)
    amounts = None
    if kind in IMMEDIATE:
        at = int(proration.credited_from(plan, _replaced(subscription, at)).timestamp())
        price = prices.ensure_price(plan_key=plan.key, interval=interval, currency=currency, amount=amount)
        amounts = _amounts(account, subscription, price=price, at=at)
        due_now = amounts.due
    leaves_legacy = kind != "keep" and Plan.objects.filter(key=subscription.plan, legacy=True).exists()
    token = {
        "account": account.public_id,
        "version": subscription.version,
        "plan": plan.key,
        "kind": kind,
        "legacy": leaves_legacy,
        "interval": interval,
        "currency": currency,
        "amount": amount,
        "charge": [amounts.due, amounts.balance_after] if amounts else None,
        "at": at,
    }
    return Preview(
        kind=kind,
        plan=plan,
        interval=interval,
        currency=currency,
        amount=amount,
        due_now=due_now,
        takes_effect=(subscription.period_end if kind in {"downgrade", "cancel"} else None) or now,
        leaves_legacy=leaves_legacy,
        amounts=amounts,
        grants=_grant_outcomes(account.pk, subscription, plan, kind, now),
        new_grants=_new_grants(account.pk, subscription, plan, at, now) if amounts else [],
        token=signing.dumps(token, salt=_SALT),
    )


def read_token(account: Account, token: str) -> dict[str, Any]:
    """The contents of a preview's token. Raises ConfirmationStale for another account's or an expired one."""
    try:
        contents: dict[str, Any] = signing.loads(token, salt=_SALT, max_age=TOKEN_LIFETIME)
    except signing.BadSignature:
        raise ConfirmationStale from None
    if contents["account"] != account.public_id:
        raise ConfirmationStale
    return contents


def require_same_charge(account: Account, contents: dict[str, Any]) -> None:
    """Check that an immediate change still costs what its token says. Raises ConfirmationStale.

    The customer's balance at Stripe may have changed since, without a change of our subscription.
    """
    subscription = Subscription.objects.get(account=account)
    if subscription.version != contents["version"]:
        raise ConfirmationStale
    price = prices.ensure_price(
        plan_key=contents["plan"],
        interval=contents["interval"],
        currency=contents["currency"],
        amount=contents["amount"],
    )
    amounts = _amounts(account, subscription, price=price, at=contents["at"])
    if [amounts.due, amounts.balance_after] != contents["charge"]:
        raise ConfirmationStale


def require_no_pending_renewal(subscription: Subscription, now: datetime) -> None:
    """Raises ChangeRefused while the payment of the plan's next period is awaited.

    A change would be invoiced beside the renewal's draft, and Stripe would credit a period that is not paid.
    """
    # the clock of a test subscription at Stripe may be ahead of ours
    if grace.is_pending(subscription, max(now, subscription.period_start)):
        message = _("The payment of your plan's new period is being processed. Change the plan after that.")
        raise ChangeRefused("renewal_pending", message)


def _kind(subscription: Subscription, plan: Plan, interval: str) -> str:
    if not subscription.paid:
        return _kind_without_payment(subscription, plan)
    if plan.free:
        return "cancel"
    if subscription.plan == plan.key and interval == subscription.interval:
        if subscription.next_plan or subscription.cancel_at_period_end or subscription.pending_plan:
            return "keep"
        raise _already_on_plan()
    if not plan.open_to_new_members:
        raise offers.PlanClosed
    if subscription.pause_behavior or subscription.state == Subscription.State.PAUSED:
        raise ChangeRefused("paused", _("The plan is paused. Change it when it goes on."))
    if subscription.state == Subscription.State.PAST_DUE:
        raise ChangeRefused("past_due", _("A payment is overdue. Pay it before you change the plan."))
    return _kind_between_paid(subscription, plan, interval)


def _kind_without_payment(subscription: Subscription, plan: Plan) -> str:
    if subscription.plan == plan.key:
        raise _already_on_plan()
    if plan.paid:
        return "subscribe"  # a closed one is refused with its price
    if plan.free:
        return "leave"
    raise offers.PlanClosed


def _kind_between_paid(subscription: Subscription, plan: Plan, interval: str) -> str:
    upgrade = lifecycle.is_upgrade(subscription.plan, plan)
    if upgrade or subscription.interval == interval:
        return "upgrade" if upgrade else "downgrade"
    # Stripe begins a new period with a new interval, so that such a change cannot wait for the period's end:
    # https://docs.stripe.com/billing/subscriptions/change-price
    return "upgrade" if subscription.plan == plan.key and interval == "year" else "switch"


def _already_on_plan() -> ChangeRefused:
    return ChangeRefused("already_on_plan", _("The account is already on this plan."))


def _amounts(account: Account, subscription: Subscription, *, price: str, at: int) -> InvoiceAmounts:
    """The amounts of the change's invoice, as Stripe prorates them at the Unix second `at`."""
    subscription_id = str(subscription.stripe_subscription_id)
    if subscription.next_plan:
        # In classic billing mode the smaller price of the scheduled downgrade would be credited.
        stripe_gateway.ensure_flexible_billing(subscription_id)
    invoice = stripe_gateway.create_invoice_preview(
        customer=customers.ensure_customer(account),
        subscription_id=subscription_id,
        item=subscription.stripe_item_id,
        price=price,
        at=at,
    )
    return invoice_amounts.read(invoice)


def _grant_outcomes(
    account_id: UUID, subscription: Subscription, plan: Plan, kind: str, now: datetime
) -> list[GrantOutcome]:
    outcomes = []
    for grant in ledger.balance(account_id, now).grants:
        if not grant.remaining:
            continue  # held whole: its holds keep their credits
        outcome = "stays"
        of_plan = grant.allowance.startswith(f"{subscription.plan}:")
        if of_plan and grant.expires_at is not None and kind != "keep":
            if kind in {"downgrade", "cancel"}:
                outcome = "until"
            else:
                outcome = "carried" if _is_carried(subscription, plan, kind, grant) else "lost"
        outcomes.append(GrantOutcome(grant.label, grant.remaining, outcome))
    return outcomes


def _is_carried(subscription: Subscription, plan: Plan, kind: str, grant: ledger.GrantInForce) -> bool:
    if subscription.plan == plan.key:  # unless the catalogue has removed the allowance since
        return grant.allowance in {f"{plan.key}:{allowance['key']}" for allowance in plan.allowances}
    carries_over = lifecycle.carries_over(subscription.plan, plan, restarts=kind in IMMEDIATE)
    return carries_over and grant.kind != "daily"


def _replaced(subscription: Subscription, at: int) -> proration.ReplacedPlan:
    return proration.ReplacedPlan(
        plan=Plan.objects.get(key=subscription.plan),
        anchor_at=subscription.anchor_at,
        at=datetime.fromtimestamp(at, tz=UTC),
        restarts=True,
    )


def _new_grants(
    account_id: UUID, subscription: Subscription, plan: Plan, at: int, now: datetime
) -> list[NewGrant]:
    credits = proration.first_credits(
        plan,
        _replaced(subscription, at),
        account_id=account_id,
        carry_over=lifecycle.carries_over(subscription.plan, plan, restarts=True),
        now=now,
    )
    granted = _granted_before(account_id, credits, now)
    labels = {f"{plan.key}:{allowance['key']}": allowance["label"] for allowance in plan.allowances}
    return [NewGrant(labels[key], amount) for key, amount in credits.items() if key not in granted]


def _granted_before(account_id: UUID, keys: Iterable[str], now: datetime) -> set[str]:
    """The daily allowances that the account received today on the same plan: they are not granted again."""
    today = Allowance.objects.filter(account_id=account_id, key__in=list(keys), period="day", next_at__gt=now)
    return set(today.values_list("key", flat=True))
