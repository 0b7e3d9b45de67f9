"""Automatic top-up: buy a pack with the saved card when credits are low, within monthly limits.

Invariants: an account has at most one automatic payment in progress (the settings row is locked while
deciding, and a unique constraint refuses a second); the purchase is committed before the card is charged, and
retried with the same idempotency key when Stripe's response was lost; a failure pauses it for an hour, three
in a row or a required authentication until the card changes; the limits never exceed the catalogue's.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Sum
from django.utils.translation import gettext as _

from accounts.models import Account, User
from billing import ledger, offers, selectors, stripe_gateway, validity
from billing.models import AutoTopUp, BillingProfile, Grant, Purchase, Wallet
from billing.notifications import emails
from billing.payments import fulfilment, recovery
from billing.purchases import create
from billing.stripe_gateway import StripeObject
from core.errors import Refusal
from core.ids import new_id
from pricing.catalogue import cache as catalogue_cache

log = structlog.get_logger(__name__)
Outcome = AutoTopUp.Outcome
PAUSE_AFTER_PAYMENT = timedelta(seconds=30)
PAUSE_AFTER_FAILURE = timedelta(hours=1)
PAUSE_AFTER_NO_RESPONSE = timedelta(minutes=1)
MAX_FAILURES = 3
_IN_PROGRESS = (Purchase.Status.CREATED, Purchase.Status.PENDING)


# Settings


class SettingsInvalid(Refusal):
    """A setting is not allowed; `field` names it."""

    status = 400

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field, self.code = field, code


def settings_of(account_id: UUID) -> AutoTopUp:
    """The account's settings; unsaved defaults if it has none."""
    return AutoTopUp.objects.filter(pk=account_id).first() or AutoTopUp(account_id=account_id)


def max_monthly_count() -> int:
    """The catalogue's limit of top-ups per month; 0 when automatic top-up is not offered."""
    policy = catalogue_cache.current().policies.auto_top_up
    return policy.largest_monthly_packs if policy else 0


def change_settings(
    *,
    account_id: UUID,
    enabled: bool,
    below: Decimal,
    pack: str,
    currency: str,
    monthly_amount: int,
    monthly_count: int,
    user: User | None,
    now: datetime,
) -> AutoTopUp:
    """Save the settings: buy when fewer than `below` credits are available, spend at most `monthly_amount`.

    `monthly_amount` is in minor units. The purchases of the current month keep counting. Raises
    SettingsInvalid.
    """
    if enabled:
        limit = max_monthly_count()
        if limit == 0:
            raise SettingsInvalid("enabled", "not_offered", _("Automatic top-up is not available."))
        if not 1 <= monthly_count <= limit:
            message = _("Enter between 1 and %(most)s top-ups per month.") % {"most": limit}
            raise SettingsInvalid("monthly_count", "out_of_range", message)
        if monthly_amount < _price_of(account_id, pack, currency, now):
            raise SettingsInvalid(
                "monthly_amount",
                "below_price",
                _("The monthly spending limit is lower than the price of one pack. Raise the limit."),
            )
    settings, _created = AutoTopUp.objects.update_or_create(
        account_id=account_id,
        defaults={
            "enabled": enabled,
            "below": below,
            "pack": pack,
            "currency": currency,
            "monthly_amount": monthly_amount,
            "monthly_count": monthly_count,
            "set_by": user,
        },
    )
    return settings


def _price_of(account_id: UUID, pack: str, currency: str, now: datetime) -> int:
    paid_plan = selectors.has_paid_plan(account_id)
    try:
        return offers.get_pack(key=pack, currency=currency, paid_plan=paid_plan, now=now).amount
    except offers.UnknownOffer as error:
        raise SettingsInvalid("pack", "unknown_offer", str(error)) from error
    except offers.PaidPlanRequired as error:
        raise SettingsInvalid("pack", error.code, str(error)) from error
    except offers.UnknownCurrency as error:
        raise SettingsInvalid("currency", error.code, str(error)) from error


# Buying


def buy_for_low_accounts(now: datetime) -> int:
    """Check every account below its threshold and every payment without a response; the number checked."""
    enabled = AutoTopUp.objects.filter(enabled=True)
    low = Wallet.objects.filter(balance__lt=F("account__auto_top_up__below")).values("pk")
    # A wallet's balance includes credits limited to some services, which are not available for all.
    limited = Grant.objects.filter(account_id=OuterRef("pk"), open=True, services__isnull=False)
    to_check = enabled.filter(Q(account__in=low) | Exists(limited))
    unanswered = Purchase.objects.filter(origin=Purchase.Origin.AUTO_TOP_UP, status=Purchase.Status.CREATED)
    ids = set(to_check.values_list("pk", flat=True)) | set(unanswered.values_list("account_id", flat=True))
    for account_id in sorted(ids):
        try:
            buy_if_low(account_id, now)
        except Exception:  # an account whose check fails must not stop the others
            log.exception("auto_top_up_failed", alert=True, account=str(account_id))
    return len(ids)


def buy_if_low(account_id: UUID, now: datetime) -> str:
    """Buy a pack if the account's settings and credits require it; the outcome, "" when nothing is needed."""
    purchase, outcome = _purchase_to_pay(account_id, now)
    if purchase is not None:
        outcome = _charge(purchase, now)
    if outcome:
        AutoTopUp.objects.filter(pk=account_id).update(last_outcome=outcome, last_looked_at=now)
    return outcome


def spent_this_month(account_id: UUID, now: datetime) -> tuple[int, int]:
    """Minor units and number of this calendar month's automatic top-ups, those in progress included."""
    purchases = Purchase.objects.filter(
        account_id=account_id, origin=Purchase.Origin.AUTO_TOP_UP, created_at__gte=validity.month_of(now)
    ).exclude(status__in=[Purchase.Status.FAILED, Purchase.Status.CANCELLED])
    return purchases.aggregate(sum=Sum("amount"))["sum"] or 0, purchases.count()


def record_payment_result(applied: fulfilment.AppliedIntent, now: datetime) -> None:
    """Update failures and pause after a payment intent was applied, in the same transaction.

    Only an intent that changed the purchase counts: a repeated success may be older than the failure that
    caused the pause, and a repeated failure is already counted.
    """
    purchase = applied.purchase
    if not applied.changed or purchase.origin != Purchase.Origin.AUTO_TOP_UP:
        return
    if purchase.status == Purchase.Status.FAILED:
        codes = {applied.error.get("code"), applied.error.get("decline_code")}
        authenticate = "authentication_required" in codes
        _count_failure(purchase, Outcome.AUTHENTICATE if authenticate else Outcome.DECLINED, now)
    elif purchase.settled:
        AutoTopUp.objects.filter(pk=purchase.account_id).update(failures=0, suspended_card="")


def _purchase_to_pay(account_id: UUID, now: datetime) -> tuple[Purchase | None, str]:
    """The committed purchase to charge now, or None and the outcome that explains why there is none."""
    with transaction.atomic():
        settings = AutoTopUp.objects.select_for_update(no_key=True).filter(pk=account_id).first()
        if settings is None:
            return None, ""
        purchase = Purchase.objects.filter(
            account_id=account_id, origin=Purchase.Origin.AUTO_TOP_UP, status__in=_IN_PROGRESS
        ).first()
        if purchase is not None:
            created = purchase.status == Purchase.Status.CREATED
            if not created or not _has_waited(settings, PAUSE_AFTER_NO_RESPONSE, now):
                return None, Outcome.PENDING
            AutoTopUp.objects.filter(pk=account_id).update(last_tried_at=now)
            return purchase, ""
        if not settings.enabled or ledger.balance(account_id, now).available >= settings.below:
            return None, ""
        return _create_purchase(settings, now)


def _create_purchase(settings: AutoTopUp, now: datetime) -> tuple[Purchase | None, str]:
    if (outcome := _pause(settings, now)) is not None:
        return None, outcome
    try:
        offer = offers.get_pack(
            key=settings.pack,
            currency=settings.currency,
            paid_plan=selectors.has_paid_plan(settings.pk),
            now=now,
        )
    except (offers.UnknownOffer, offers.UnknownCurrency, offers.PaidPlanRequired):
        return None, Outcome.OFFER_GONE
    if (outcome := _limit_reached(settings, offer.amount, now)) is not None:
        return None, outcome
    purchase = Purchase.objects.create(
        account_id=settings.pk,
        buyer=settings.set_by,
        kind=Purchase.Kind.PACK,
        origin=Purchase.Origin.AUTO_TOP_UP,
        offer=offer.key,
        label=create.pack_label(offer, 1),
        credits=offer.pack.credits,
        lasts=offer.pack.lasts,
        amount=offer.amount,
        list_amount=offer.list_amount,
        currency=settings.currency,
        idempotency_key=f"auto:{new_id().hex}",
        created_at=now,
    )
    AutoTopUp.objects.filter(pk=settings.pk).update(last_tried_at=now)
    return purchase, ""


def _pause(settings: AutoTopUp, now: datetime) -> str | None:
    """Why the card is not charged now; a reason more specific than the pause is kept."""
    profile = selectors.profile_of(settings.pk)
    if not profile.card_id:
        return Outcome.NO_CARD
    if settings.suspended_card and settings.suspended_card == profile.card_fingerprint:
        authenticate = settings.last_outcome == Outcome.AUTHENTICATE
        return Outcome.AUTHENTICATE if authenticate else Outcome.SUSPENDED
    if not _has_waited(settings, PAUSE_AFTER_FAILURE if settings.failures else PAUSE_AFTER_PAYMENT, now):
        declined = settings.last_outcome == Outcome.DECLINED
        return Outcome.DECLINED if declined else Outcome.COOLING
    return None


def _has_waited(settings: AutoTopUp, pause: timedelta, now: datetime) -> bool:
    return settings.last_tried_at is None or now - settings.last_tried_at >= pause


def _limit_reached(settings: AutoTopUp, amount: int, now: datetime) -> str | None:
    spent, count = spent_this_month(settings.pk, now)
    if count + 1 > settings.monthly_count:
        return Outcome.CEILING_COUNT
    if spent + amount > settings.monthly_amount:
        return Outcome.CEILING_MONEY
    return None


def _charge(purchase: Purchase, now: datetime) -> str:
    """Charge the saved card for a committed purchase, outside any transaction."""
    profile = BillingProfile.objects.get(pk=purchase.account_id)
    account = Account.objects.get(pk=purchase.account_id)
    try:
        intent = _earlier_payment(purchase, str(profile.stripe_customer_id), now)
        if intent is None and now - purchase.created_at >= stripe_gateway.IDEMPOTENCY_KEYS_HOLD:
            fulfilment.mark_cancelled(purchase.pk, now)  # the next check decides anew
            return ""
        intent = intent or stripe_gateway.create_off_session_payment(
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
                    **recovery.stripe_metadata(purchase),
                },
            },
        )
    except stripe_gateway.StripeUnavailable:
        return Outcome.UNREACHABLE
    except stripe_gateway.AuthenticationRequired as error:
        return _fail(purchase, str(error), Outcome.AUTHENTICATE, now)
    except stripe_gateway.StripeError as error:
        return _fail(purchase, str(error), Outcome.DECLINED, now)
    with transaction.atomic():
        applied = fulfilment.apply_payment_intent(intent, now)
        if applied is not None:
            record_payment_result(applied, now)
    return Outcome.PAID if intent.get("status") == "succeeded" else Outcome.PENDING


def _earlier_payment(purchase: Purchase, customer: str, now: datetime) -> StripeObject | None:
    """The payment of an earlier attempt that got no response; its idempotency key may be pruned."""
    if purchase.created_at >= now:
        return None
    since = purchase.created_at - timedelta(hours=1)
    for intent in stripe_gateway.list_payment_intents(since, customer=customer):
        if (intent.get("metadata") or {}).get("purchase") == purchase.public_id:
            return stripe_gateway.retrieve_payment_intent(str(intent["id"]))
    return None


def _fail(purchase: Purchase, reason: str, outcome: str, now: datetime) -> str:
    """Close a purchase whose charge Stripe refused, unless the event of the same failure has done so."""
    with transaction.atomic():
        AutoTopUp.objects.select_for_update(no_key=True).get(pk=purchase.account_id)
        if not fulfilment.lock_purchase(purchase.pk).settled:
            failed = fulfilment.mark_failed(purchase.pk, reason=reason, now=now, notify=False)
            _count_failure(failed, outcome, now)
    return outcome


def _count_failure(purchase: Purchase, outcome: str, now: datetime) -> None:
    """Count a failed payment, pause, and e-mail the account's owners."""
    settings = AutoTopUp.objects.select_for_update(no_key=True).filter(pk=purchase.account_id).first()
    if settings is None:
        return
    profile = selectors.profile_of(purchase.account_id)
    failures = settings.failures + 1
    paused = outcome == Outcome.AUTHENTICATE or failures >= MAX_FAILURES
    AutoTopUp.objects.filter(pk=settings.pk).update(
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
            "error": purchase.error,
            "last4": profile.card_last4,
            "paused": paused,
        },
        now=now,
    )
