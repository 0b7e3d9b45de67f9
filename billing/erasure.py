"""Erasing a user on the user's own request.

Invariants: the subscription is cancelled at Stripe before anything is erased, so that nobody is charged
without an account; the ledger, purchases and invoices stay, because the books must; whatever fails leaves the
account as it was or without its plan, and the request can be repeated.
"""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import erasure
from accounts.models import Account, User, personal_account_of
from billing import ledger, stripe_gateway
from billing.models import AlertSettings, AutoTopUp, BillingProfile, Mail, Purchase, Subscription
from billing.payments import cards
from billing.purchases import checkout
from billing.subscriptions import lifecycle, stripe_sync
from core.errors import Refusal


class PaymentPending(Refusal):
    """A payment of the account is being processed: it would credit an account that is gone (409)."""

    code = "payment_pending"

    def __init__(self) -> None:
        super().__init__(_("A payment is still being processed. Try again when it has succeeded or failed."))


def erase(user: User, now: datetime) -> None:
    """End the user's payments, then anonymise the user and close the personal account.

    Raises accounts.erasure.OwnsTeam, IsStaff, PaymentPending, stripe_gateway.StripeError.
    """
    account = personal_account_of(user)
    erasure.require_possible(user)
    _require_no_pending_payment(account)
    AutoTopUp.objects.filter(account=account).update(enabled=False)
    for purchase in Purchase.objects.filter(account=account, status=Purchase.Status.CREATED):
        checkout.cancel(purchase, now)
    _cancel_subscription(account, now)
    cards.remove_card(account.pk, now)
    with transaction.atomic():
        subscription = lifecycle.lock_subscription(account.pk)
        _require_no_pending_payment(account)
        if subscription.paid:  # a payment that ended meanwhile has begun a plan: the member tries again
            raise PaymentPending
        ledger.set_allowances(account_id=account.pk, allowances=[], now=now)
        ledger.set_warning(account_id=account.pk, below=None, now=now)
        _forget_addresses(account)
        erasure.anonymise(user, account, now)


def _require_no_pending_payment(account: Account) -> None:
    if Purchase.objects.filter(account=account, status=Purchase.Status.PENDING).exists():
        raise PaymentPending


def _cancel_subscription(account: Account, now: datetime) -> None:
    """Cancel the subscription at Stripe at once, without a refund, and apply that here."""
    current = Subscription.objects.filter(account=account).first()
    if current is None or not current.stripe_subscription_id:
        return
    try:
        stripe_gateway.cancel_subscription(current.stripe_subscription_id)
        stripe_sync.synchronize(current.stripe_subscription_id, now)
    except stripe_gateway.ResourceMissing:  # it is gone at Stripe
        with transaction.atomic():
            locked = lifecycle.lock_subscription(account.pk)
            if locked.stripe_subscription_id == current.stripe_subscription_id:
                lifecycle.fall_back_to_free_plan(locked, now=now, reason="account deleted")


def _forget_addresses(account: Account) -> None:
    """Remove names and addresses that no invoice needs; issued invoices keep the buyer's details."""
    AlertSettings.objects.filter(account=account).update(
        enabled=False, extra_addresses=[], confirmed_addresses=[]
    )
    BillingProfile.objects.filter(account=account).update(invoice_name="", invoice_address="", tax_id="")
    Mail.objects.filter(account=account, sent_at=None).delete()
    Mail.objects.filter(account=account).update(recipients=[], context={})
