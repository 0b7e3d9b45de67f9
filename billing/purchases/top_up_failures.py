"""Failed automatic top-ups: which of them are tried again, when, and the e-mails to the owners.

Invariants: a decline that another attempt cannot change suspends automatic top-up at once, until a card is
saved (https://docs.stripe.com/declines/codes); other declines pause it longer each time, and the fourth in a
row suspends it; a failure is counted once, in the transaction that closes its purchase.
"""

from datetime import datetime, timedelta

from billing import selectors
from billing.models import AutoTopUp, Purchase
from billing.notifications import emails, webhook_events
from billing.stripe_gateway import StripeObject

Outcome = AutoTopUp.Outcome
# The pause after the first, second and third failure in a row.
PAUSES = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
MAX_FAILURES = len(PAUSES) + 1
# The codes that Stripe's own retries exclude, and those whose next step is another card or other card data.
# https://docs.stripe.com/billing/revenue-recovery/smart-retries and https://docs.stripe.com/declines/codes
_FINAL_CODES = frozenset(
    {
        "card_not_supported",
        "currency_not_supported",
        "do_not_try_again",
        "expired_card",
        "fraudulent",
        "highest_risk_level",
        "incorrect_number",
        "invalid_account",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "new_account_information_available",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
# https://docs.stripe.com/declines/card#retrying-issuer-declines
_FINAL_ADVICE = frozenset({"do_not_try_again", "confirm_card_data"})


def outcome_of(error: StripeObject) -> str:
    """How a payment's last error is handled: AUTHENTICATE, SUSPENDED (final) or DECLINED (tried again)."""
    codes = {error.get("code"), error.get("decline_code")}
    if "authentication_required" in codes:
        return Outcome.AUTHENTICATE
    if codes & _FINAL_CODES or error.get("advice_code") in _FINAL_ADVICE:
        return Outcome.SUSPENDED
    return Outcome.DECLINED


def pause_after(settings: AutoTopUp) -> timedelta:
    """The wait after the last failure of a row."""
    return PAUSES[min(settings.failures, len(PAUSES)) - 1] if settings.failures else timedelta(0)


def count(purchase: Purchase, outcome: str, now: datetime, *, payment_id: str = "") -> None:
    """Count a failed payment, pause or suspend, and e-mail the owners. The caller's transaction closes it.

    `payment_id` is the PaymentIntent, which the cardholder can confirm when authentication is required.
    """
    settings = AutoTopUp.objects.select_for_update(no_key=True).filter(pk=purchase.account_id).first()
    if settings is None:
        return
    profile = selectors.profile_of(purchase.account_id)
    settings.failures += 1
    suspended = outcome != Outcome.DECLINED or settings.failures >= MAX_FAILURES
    settings.suspended_card = (settings.attempt_card or profile.card_id) if suspended else ""
    settings.payment_to_confirm = payment_id if outcome == Outcome.AUTHENTICATE else ""
    settings.last_outcome = outcome
    settings.save(update_fields=["failures", "suspended_card", "payment_to_confirm", "last_outcome"])
    webhook_events.auto_top_up_failed(purchase, settings, now)
    emails.queue(
        account_id=purchase.account_id,
        template="top_up_authenticate" if outcome == Outcome.AUTHENTICATE else "top_up_failed",
        key=f"top_up_failed:{purchase.pk.hex}",
        context={
            "label": purchase.label,
            "amount": purchase.amount,
            "currency": purchase.currency,
            "error": purchase.error,
            "last4": profile.card_last4,
            "paused": suspended,
            "hours": pause_after(settings) // timedelta(hours=1),
        },
        now=now,
    )
