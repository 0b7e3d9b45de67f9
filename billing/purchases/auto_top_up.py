"""Automatic top-up: buy a pack with the saved card when credits are low, within monthly limits.

Invariants: an account has at most one automatic payment in progress (the settings row is locked while
deciding, and a unique constraint refuses a second); the purchase is committed before the card is charged, and
retried with the same idempotency key and the same card when Stripe's response was lost, or looked for at
Stripe once the key may have been pruned; failures pause it (billing.purchases.top_up_failures).
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.utils.translation import gettext_noop

from accounts import selectors as accounts
from accounts.models import Account
from billing import ledger, offers, selectors, stripe_gateway
from billing.models import AutoTopUp, BillingProfile, Purchase, Subscription
from billing.payments import cards, fulfilment, recovery, return_links
from billing.purchases import create, top_up_failures, top_up_settings
from billing.stripe_gateway import StripeObject
from billing.subscriptions import grace
from core.ids import new_id

log = structlog.get_logger(__name__)
Outcome = AutoTopUp.Outcome
PAUSE_AFTER_PAYMENT = timedelta(seconds=30)
PAUSE_AFTER_NO_RESPONSE = timedelta(minutes=1)
_IN_PROGRESS = (Purchase.Status.CREATED, Purchase.Status.PENDING)
# A wallet's balance includes credits limited to some services, which are not available for all.
_TO_CHECK = """
select w.account_id::text
  from unnest(%(accounts)s::uuid[], %(below)s::numeric[]) t(account_id, below)
  join billing_wallet w on w.account_id = t.account_id
 where w.balance < t.below or exists (
   select from billing_grant g where g.account_id = w.account_id and g.open and g.services is not null)
"""


def buy_for_low_accounts(now: datetime) -> int:
    """Check every account below its threshold and every payment without a response; the number checked."""
    enabled = dict(AutoTopUp.objects.filter(enabled=True).values_list("pk", "below"))
    thresholds = {"accounts": list(enabled), "below": list(enabled.values())}
    to_check = {UUID(row["account_id"]) for row in ledger.read_reachable(_TO_CHECK, thresholds)}
    unanswered = Purchase.objects.filter(origin=Purchase.Origin.AUTO_TOP_UP, status=Purchase.Status.CREATED)
    ids = to_check | set(unanswered.values_list("account_id", flat=True))
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


def record_payment_result(applied: fulfilment.AppliedIntent, now: datetime) -> None:
    """Update failures and pause after a payment intent was applied, in the same transaction.

    Only an intent that changed an automatic top-up's purchase counts: a repeated success may be older than
    the failure that caused the pause, and a repeated failure is already counted.
    """
    purchase = applied.purchase
    if not applied.changed or purchase.origin != Purchase.Origin.AUTO_TOP_UP:
        return
    if purchase.status == Purchase.Status.FAILED:
        outcome = top_up_failures.outcome_of(applied.error)
        top_up_failures.count(purchase, outcome, now, payment_id=applied.payment_id)
    elif purchase.status == Purchase.Status.PAID:
        AutoTopUp.objects.filter(pk=purchase.account_id).update(
            failures=0, suspended_card="", payment_to_confirm="", last_outcome=Outcome.PAID
        )


def confirm_failed_payment(account_id: UUID, *, key: str, now: datetime) -> str | None:
    """Pay the payment that the bank wants confirmed, with the cardholder present.

    Returns the URL of the bank's page, which leads back to the portal; None when there is nothing left to
    confirm, because it succeeded for example. Raises stripe_gateway.CardDeclined, StripeUnavailable.
    """
    settings = AutoTopUp.objects.filter(pk=account_id).first()
    if settings is None or not settings.payment_to_confirm:
        return None
    try:
        intent = stripe_gateway.confirm_payment(
            key=f"confirm:{settings.payment_to_confirm}:{key}",
            payment_id=settings.payment_to_confirm,
            card=settings.suspended_card,
            return_url=return_links.url("top_up_returned", Account.public_id_of(account_id)),
        )
    except stripe_gateway.InvalidRequest:  # it was paid or cancelled meanwhile
        intent = stripe_gateway.retrieve_payment_intent(settings.payment_to_confirm)
    _apply(intent, now)
    redirect = (intent.get("next_action") or {}).get("redirect_to_url") or {}
    return str(redirect["url"]) if redirect.get("url") else None


def refresh_confirmed_payment(account_id: UUID, now: datetime) -> bool:
    """Apply the payment that the cardholder has confirmed; whether it is paid. Raises StripeError."""
    settings = AutoTopUp.objects.filter(pk=account_id).first()
    if settings is None:
        return False
    if not settings.payment_to_confirm:  # its event came first
        return settings.last_outcome == Outcome.PAID
    intent = stripe_gateway.retrieve_payment_intent(settings.payment_to_confirm)
    _apply(intent, now)
    return intent.get("status") == "succeeded"


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
        if grace.restores_credits(Subscription.objects.get(account_id=account_id), now):
            return None, ""  # the payment of the plan's renewal brings credits
        if accounts.buyers_are_deactivated(account_id):
            return None, ""  # nobody could switch it off
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
    card_id = selectors.profile_of(settings.pk).card_id
    AutoTopUp.objects.filter(pk=settings.pk).update(last_tried_at=now, attempt_card=card_id)
    return purchase, ""


def _pause(settings: AutoTopUp, now: datetime) -> str | None:
    """Why the card is not charged now; a reason more specific than the pause is kept."""
    profile = selectors.profile_of(settings.pk)
    if not profile.card_id:
        return Outcome.NO_CARD
    if settings.suspended_card and settings.suspended_card == profile.card_id:
        authenticate = settings.last_outcome == Outcome.AUTHENTICATE
        return Outcome.AUTHENTICATE if authenticate else Outcome.SUSPENDED
    if not _has_waited(settings, top_up_failures.pause_after(settings) or PAUSE_AFTER_PAYMENT, now):
        declined = settings.last_outcome == Outcome.DECLINED
        return Outcome.DECLINED if declined else Outcome.COOLING
    return None


def _has_waited(settings: AutoTopUp, pause: timedelta, now: datetime) -> bool:
    return settings.last_tried_at is None or now - settings.last_tried_at >= pause


def _limit_reached(settings: AutoTopUp, amount: int, now: datetime) -> str | None:
    spent, count = top_up_settings.spent_this_month(settings.pk, settings.currency, now)
    if count + 1 > settings.monthly_count:
        return Outcome.CEILING_COUNT
    if spent + amount > settings.monthly_amount:
        return Outcome.CEILING_MONEY
    return None


def _charge(purchase: Purchase, now: datetime) -> str:
    """Charge the saved card for a committed purchase, outside any transaction."""
    profile = BillingProfile.objects.get(pk=purchase.account_id)
    attempt_card = AutoTopUp.objects.values_list("attempt_card", flat=True).get(pk=purchase.account_id)
    try:
        customer = str(profile.stripe_customer_id)
        intent = _earlier_payment(purchase, customer, now)
        if intent is None and now - purchase.created_at >= stripe_gateway.IDEMPOTENCY_KEYS_HOLD:
            fulfilment.mark_cancelled(purchase.pk, now)  # the next check decides anew
            return ""
        intent = intent or _create_payment(purchase, customer, attempt_card or profile.card_id)
    except stripe_gateway.StripeUnavailable:
        return Outcome.UNREACHABLE
    except stripe_gateway.CardDeclined as declined:
        error = declined.payment.get("last_payment_error") or {"decline_code": declined.decline_code}
        outcome = top_up_failures.outcome_of(error)
        if isinstance(declined, stripe_gateway.AuthenticationRequired):
            outcome = Outcome.AUTHENTICATE
        return _fail(purchase, str(declined), outcome, now, payment_id=str(declined.payment.get("id", "")))
    except stripe_gateway.StripeError as error:
        return _fail_without_decline(purchase, str(error), now)
    _apply(intent, now)
    if intent.get("status") == "requires_payment_method":  # an earlier attempt, whose failure is counted now
        return top_up_failures.outcome_of(intent.get("last_payment_error") or {})
    return Outcome.PAID if intent.get("status") == "succeeded" else Outcome.PENDING


def _create_payment(purchase: Purchase, customer: str, card_id: str) -> StripeObject:
    """Stripe answers a repeated key only with the same parameters, so none may change between attempts."""
    account = Account.objects.get(pk=purchase.account_id)
    return stripe_gateway.create_off_session_payment(
        key=purchase.idempotency_key,
        params={
            "amount": purchase.amount,
            "currency": purchase.currency,
            "customer": customer,
            "payment_method": card_id,
            "description": purchase.label,
            "metadata": {
                "purchase": purchase.public_id,
                "account": account.public_id,
                **recovery.stripe_metadata(purchase),
            },
        },
    )


def _apply(intent: StripeObject, now: datetime) -> None:
    with transaction.atomic():
        applied = fulfilment.apply_payment_intent(intent, now)
        if applied is not None:
            record_payment_result(applied, now)


def _earlier_payment(purchase: Purchase, customer: str, now: datetime) -> StripeObject | None:
    """The payment of an earlier attempt that got no response; its idempotency key may be pruned."""
    if purchase.created_at >= now:
        return None
    since = purchase.created_at - timedelta(hours=1)
    for intent in stripe_gateway.list_payment_intents(since, customer=customer):
        if (intent.get("metadata") or {}).get("purchase") == purchase.public_id:
            return stripe_gateway.retrieve_payment_intent(str(intent["id"]))
    return None


def _fail_without_decline(purchase: Purchase, reason: str, now: datetime) -> str:
    """Close a purchase whose request Stripe refused; a removed card is forgotten and is no failure of it."""
    tried = AutoTopUp.objects.values_list("attempt_card", flat=True).get(pk=purchase.account_id)
    try:
        cards.synchronize(purchase.account_id, now)
    except (stripe_gateway.StripeError, cards.StaleCards):
        log.warning("cards_not_synchronised", account=str(purchase.account_id))
    card_id = selectors.profile_of(purchase.account_id).card_id
    if card_id == tried:
        return _fail(purchase, reason, Outcome.DECLINED, now)
    fulfilment.mark_failed(purchase.pk, reason=gettext_noop("The card was removed."), now=now, notify=False)
    return Outcome.COOLING if card_id else Outcome.NO_CARD


def _fail(purchase: Purchase, reason: str, outcome: str, now: datetime, *, payment_id: str = "") -> str:
    """Close a purchase whose charge Stripe refused, unless the event of the same failure has done so."""
    with transaction.atomic():
        AutoTopUp.objects.select_for_update(no_key=True).get(pk=purchase.account_id)
        if not fulfilment.lock_purchase(purchase.pk).settled:
            failed = fulfilment.mark_failed(purchase.pk, reason=reason, now=now, notify=False)
            top_up_failures.count(failed, outcome, now, payment_id=payment_id)
    return outcome
