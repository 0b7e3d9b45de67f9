"""Automatic top-up: a pack is bought with the saved card when credits run low, within the account's ceilings.

Invariants: one payment is under way for each account at most (the settings' row is locked while deciding,
and the database refuses a second); the order is committed before the card is charged, and repeated with the
same key if the answer was lost; failures pause it, three in a row until the card changes; it never loops.
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Sum

from accounts.models import Account
from billing import ledger, offers, selectors, stripe_gateway, validity
from billing.models import AutoTopUp, BillingProfile, Grant, Purchase, Wallet
from billing.notifications import emails
from billing.payments import fulfilment, recovery
from billing.purchases import create
from billing.stripe_gateway import Facts
from core.ids import new_id

log = structlog.get_logger(__name__)
Outcome = AutoTopUp.Outcome
PAUSE_AFTER_PAYMENT = timedelta(seconds=30)
PAUSE_AFTER_FAILURE = timedelta(hours=1)
PAUSE_UNANSWERED = timedelta(minutes=1)
MOST_FAILURES = 3
_IN_FLIGHT = (Purchase.Status.CREATED, Purchase.Status.PENDING)


def look_at_all(now: datetime) -> int:
    """Look at every account whose credits are below its threshold, and at unanswered payments."""
    wanting = AutoTopUp.objects.filter(enabled=True)
    poor = Wallet.objects.filter(balance__lt=F("account__auto_top_up__below")).values("pk")
    # Credits for some services only are in the wallet's balance and not in what is available for any.
    narrow = Grant.objects.filter(account_id=OuterRef("pk"), open=True, services__isnull=False)
    low = wanting.filter(Q(account__in=poor) | Exists(narrow))
    open_ = Purchase.objects.filter(origin=Purchase.Origin.AUTO_TOP_UP, status=Purchase.Status.CREATED)
    ids = set(low.values_list("pk", flat=True)) | set(open_.values_list("account_id", flat=True))
    for account_id in sorted(ids):
        try:
            look(account_id, now)
        except Exception:  # one account that cannot be looked at must not stop the others
            log.exception("auto_top_up_failed", alert=True, account=str(account_id))
    return len(ids)


def look(account_id: UUID, now: datetime) -> str:
    """Buy a pack for an account if its settings and its state ask for it; the outcome, or "" for no need."""
    purchase, outcome = _decide(account_id, now)
    if purchase is not None:
        outcome = _charge(purchase, now)
    if outcome:
        AutoTopUp.objects.filter(pk=account_id).update(last_outcome=outcome, last_looked_at=now)
    return outcome


def _decide(account_id: UUID, now: datetime) -> tuple[Purchase | None, str]:
    """The order to be paid now, committed; or why there is none."""
    with transaction.atomic():
        wish = AutoTopUp.objects.select_for_update().filter(pk=account_id).first()
        if wish is None:
            return None, ""
        running = Purchase.objects.filter(
            account_id=account_id, origin=Purchase.Origin.AUTO_TOP_UP, status__in=_IN_FLIGHT
        ).first()
        if running is not None:
            unanswered = running.status == Purchase.Status.CREATED and _rested(wish, PAUSE_UNANSWERED, now)
            if unanswered:
                AutoTopUp.objects.filter(pk=account_id).update(last_tried_at=now)
            return (running if unanswered else None), "" if unanswered else Outcome.PENDING
        if not wish.enabled or ledger.balance(account_id, now).available >= wish.below:
            return None, ""
        return _order(wish, now)


def _order(wish: AutoTopUp, now: datetime) -> tuple[Purchase | None, str]:
    profile = selectors.profile_of(wish.pk)
    if not profile.card_id:
        return None, Outcome.NO_CARD
    if wish.suspended_card and wish.suspended_card == profile.card_fingerprint:
        # The reason for the pause says more than the pause itself, as long as it is the bank's question.
        asked = wish.last_outcome == Outcome.AUTHENTICATE
        return None, Outcome.AUTHENTICATE if asked else Outcome.SUSPENDED
    if not _rested(wish, PAUSE_AFTER_FAILURE if wish.failures else PAUSE_AFTER_PAYMENT, now):
        declined = wish.last_outcome == Outcome.DECLINED
        return None, Outcome.DECLINED if declined else Outcome.COOLING
    try:
        offer = offers.pack(
            key=wish.pack,
            currency=wish.currency,
            paid_plan=selectors.has_paid_plan(wish.pk),
            now=now,
        )
    except (offers.OfferGone, offers.CurrencyUnknown, offers.PaidPlanNeeded):
        return None, Outcome.OFFER_GONE
    if (reached := _ceiling_reached(wish, offer.amount, now)) is not None:
        return None, reached
    purchase = Purchase.objects.create(
        account_id=wish.pk,
        buyer=wish.set_by,
        kind=Purchase.Kind.PACK,
        origin=Purchase.Origin.AUTO_TOP_UP,
        offer=offer.key,
        label=create.pack_label(offer, 1),
        credits=offer.pack.credits,
        lasts=offer.pack.lasts,
        amount=offer.amount,
        list_amount=offer.list_amount,
        currency=wish.currency,
        idempotency_key=f"auto:{new_id().hex}",
        created_at=now,
    )
    AutoTopUp.objects.filter(pk=wish.pk).update(last_tried_at=now)
    return purchase, ""


def _rested(wish: AutoTopUp, pause: timedelta, now: datetime) -> bool:
    return wish.last_tried_at is None or now - wish.last_tried_at >= pause


def _ceiling_reached(wish: AutoTopUp, amount: int, now: datetime) -> str | None:
    """Payments of this calendar month, those under way included, count against both ceilings."""
    spent, count = spent_this_month(wish.pk, now)
    if count + 1 > wish.monthly_count:
        return Outcome.CEILING_COUNT
    if spent + amount > wish.monthly_amount:
        return Outcome.CEILING_MONEY
    return None


def spent_this_month(account_id: UUID, now: datetime) -> tuple[int, int]:
    """Minor units and number of this calendar month's automatic top-ups."""
    rows = Purchase.objects.filter(
        account_id=account_id, origin=Purchase.Origin.AUTO_TOP_UP, created_at__gte=validity.month_of(now)
    ).exclude(status__in=[Purchase.Status.FAILED, Purchase.Status.CANCELLED])
    return rows.aggregate(sum=Sum("amount"))["sum"] or 0, rows.count()


def _charge(purchase: Purchase, now: datetime) -> str:
    """Charge the saved card for a committed order, outside any transaction."""
    profile = BillingProfile.objects.get(pk=purchase.account_id)
    account = Account.objects.get(pk=purchase.account_id)
    try:
        intent = stripe_gateway.charge_saved_card(
            key=purchase.idempotency_key,
            params={
                "amount": purchase.amount,
                "currency": purchase.currency,
                "customer": profile.stripe_customer_id,
                "payment_method": profile.card_id,
                "description": purchase.label,
                "metadata": {
                    "purchase": purchase.public_id,
                    "account": account.public_id,
                    **recovery.marks_of(purchase),
                },
            },
        )
    except stripe_gateway.Unreachable:
        return Outcome.UNREACHABLE
    except stripe_gateway.AuthenticationNeeded as error:
        return _failed(purchase, str(error), Outcome.AUTHENTICATE, now)
    except stripe_gateway.StripeProblem as error:
        return _failed(purchase, str(error), Outcome.DECLINED, now)
    follow(intent, now)
    return Outcome.PAID if intent.get("status") == "succeeded" else Outcome.PENDING


def _failed(purchase: Purchase, trouble: str, outcome: str, now: datetime) -> str:
    """Record a refusal, pause, and write to the account's owners: once, whether Stripe's answer or its event
    brings it first."""
    with transaction.atomic():
        wish = AutoTopUp.objects.select_for_update().filter(pk=purchase.account_id).first()
        if fulfilment.locked(purchase.pk).settled or wish is None:
            return outcome
        profile = selectors.profile_of(purchase.account_id)
        fulfilment.failed(purchase.pk, trouble=trouble, now=now, tell=False)
        failures = wish.failures + 1
        paused = outcome == Outcome.AUTHENTICATE or failures >= MOST_FAILURES
        AutoTopUp.objects.filter(pk=wish.pk).update(
            failures=failures,
            suspended_card=profile.card_fingerprint if paused else "",
            last_outcome=outcome,
        )
        emails.queue(
            account_id=purchase.account_id,
            template="top_up_authenticate" if outcome == Outcome.AUTHENTICATE else "top_up_failed",
            key=f"top_up_failed:{purchase.pk.hex}",
            context={
                "label": purchase.label,
                "pack": purchase.offer,
                "amount": purchase.amount,
                "currency": purchase.currency,
                "trouble": trouble,
                "last4": profile.card_last4,
                "paused": paused,
            },
            now=now,
        )
    return outcome


def follow(intent: Facts, now: datetime) -> Purchase | None:
    """Bring a purchase to what Stripe says of its payment. None: the payment names no purchase of ours."""
    marks = intent.get("metadata") or {}
    purchase = Purchase.with_public_id(str(marks.get("purchase", "")))
    if purchase is None:
        return None
    automatic = purchase.origin == Purchase.Origin.AUTO_TOP_UP
    status = intent.get("status")
    if status == "succeeded":
        charge = intent.get("latest_charge")
        charged: Facts = charge if isinstance(charge, dict) else {}
        payment = fulfilment.Payment(
            amount=int(intent.get("amount_received") or 0),
            currency=str(intent["currency"]),
            payment_id=str(intent["id"]),
            method=str((charged.get("payment_method_details") or {}).get("type") or ""),
            receipt_url=str(charged.get("receipt_url") or ""),
            account=str(marks.get("account", "")),
        )
        # Only the first news of a payment ends a pause: what comes again later may be older than the failure
        # that made the pause. The settings' row is locked before purchase and wallet, as when deciding.
        if automatic and purchase.status != Purchase.Status.PAID:
            AutoTopUp.objects.filter(pk=purchase.account_id).update(failures=0, suspended_card="")
        fulfilment.paid(purchase.pk, payment, now)
    elif automatic and status == "processing":
        fulfilment.pending(purchase.pk, method="", now=now)
    elif automatic and status in {"canceled", "requires_payment_method"}:
        error = intent.get("last_payment_error") or {}
        asked = "authentication_required" in {error.get("code"), error.get("decline_code")}
        outcome = Outcome.AUTHENTICATE if asked else Outcome.DECLINED
        _failed(purchase, str(error.get("message") or ""), outcome, now)
    return purchase
