"""Erasing a user on the user's own request.

Invariants: before anything is erased, the subscription is cancelled at Stripe, its open invoices are void and
no saved card is left, so that nobody is charged without an account; the ledger, purchases and invoices stay,
because the books must, and so does the customer at Stripe (docs/decisions/0088-erasing-a-user.md); nobody
loses more credits than were shown; whatever fails leaves the accounts as they were or without their plans,
and the request can be repeated.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts import erasure
from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import AlertSettings, AutoTopUp, BillingProfile, Mail, Purchase, Refund, Subscription
from billing.payments import cards
from billing.purchases import checkout
from billing.subscriptions import lifecycle, stripe_sync
from core import locks
from core.errors import Refusal


class PaymentPending(Refusal):
    """A payment of the account is being processed: it would credit an account that is gone (409)."""

    code = "payment_pending"

    def __init__(self) -> None:
        super().__init__(_("A payment is still being processed. Try again when it has succeeded or failed."))


class CreditsChanged(Refusal):
    """More is lost than the user was shown (409)."""

    code = "credits_changed"

    def __init__(self) -> None:
        super().__init__(_("Your credits have changed. Review what you lose, and confirm again."))


def credits_of(accounts: Sequence[Account], now: datetime) -> Decimal:
    """What is lost with the accounts."""
    return sum((ledger.balance(account.pk, now).total for account in accounts), Decimal(0))


def erase(user: User, now: datetime, *, shown: Decimal) -> None:
    """End the payments of the user's accounts, then close them and anonymise the user.

    The accounts are the personal one, and teams without another member. `shown`: the credits that the page
    said are lost. Raises accounts.erasure.OwnsTeam, IsStaff, MembersChanged, PaymentPending,
    CreditsChanged, stripe_gateway.StripeError.
    """
    accounts = erasure.accounts_to_close(user)
    _require_no_pending_payment(accounts)
    paid = _paid_purchases(accounts)
    if credits_of(accounts, now) > shown:
        raise CreditsChanged
    for account in accounts:
        _close_payment_pages(account, now)
    if _paid_purchases(accounts) != paid:
        raise CreditsChanged
    for account in accounts:
        _cancel_subscription(account, now)
        _void_open_invoices(account)
        cards.remove_all(account.pk, now)
    with transaction.atomic():
        erasure.lock(user, accounts)
        for account in accounts:
            _close_books(account, now)
        if _paid_purchases(accounts) != paid:
            raise CreditsChanged
        erasure.anonymise(user, accounts, now)


def _require_no_pending_payment(accounts: Sequence[Account]) -> None:
    """An automatic top-up without a response is one: its card may be charged by now."""
    purchases = Purchase.objects.filter(account__in=accounts)
    automatic = Q(status=Purchase.Status.CREATED, origin=Purchase.Origin.AUTO_TOP_UP)
    if purchases.filter(Q(status=Purchase.Status.PENDING) | automatic).exists():
        raise PaymentPending


def _paid_purchases(accounts: Sequence[Account]) -> int:
    return Purchase.objects.filter(account__in=accounts, status=Purchase.Status.PAID).count()


def _close_payment_pages(account: Account, now: datetime) -> None:
    """End automatic top-up, and close what can be paid on Stripe's pages; some may just have been paid."""
    AutoTopUp.objects.filter(account=account).update(enabled=False)
    _require_no_pending_payment([account])  # now no other automatic one can begin
    with locks.lock(f"checkout {account.pk}"):  # checkout.open_page creates sessions under it
        for purchase in Purchase.objects.filter(account=account, status=Purchase.Status.CREATED):
            checkout.cancel(purchase, now)


def _close_books(account: Account, now: datetime) -> None:
    """End allowances and alerts of an account that is locked, if nothing was begun meanwhile."""
    subscription = lifecycle.lock_subscription(account.pk)
    unsettled = [Purchase.Status.CREATED, Purchase.Status.PENDING]
    begun = Purchase.objects.filter(account=account, status__in=unsettled).exists()
    if begun or subscription.paid:
        raise PaymentPending
    AutoTopUp.objects.filter(account=account).update(enabled=False)
    ledger.set_allowances(account_id=account.pk, allowances=[], now=now)
    ledger.set_warning(account_id=account.pk, below=None, now=now)
    _forget_addresses(account)


def _void_open_invoices(account: Account) -> None:
    """Void what the cancelled plan still asks for: nobody would get anything for a payment.

    Stripe stops collecting them at the cancellation, but their pages can still be paid
    (https://docs.stripe.com/api/subscriptions/cancel).
    """
    customer = BillingProfile.objects.filter(account=account).values_list("stripe_customer_id", flat=True)
    for invoice in stripe_gateway.list_open_invoices(customer.first() or ""):
        if (invoice.get("parent") or {}).get("type") != "subscription_details":
            continue  # of the operator, by other means
        if stripe_gateway.void_invoice(str(invoice["id"])).get("status") in {"open", "paid"}:
            raise PaymentPending  # it is being paid, or was


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
    """Remove names, addresses and texts that no invoice or open request needs."""
    AlertSettings.objects.filter(account=account).update(
        enabled=False, extra_addresses=[], confirmed_addresses=[]
    )
    BillingProfile.objects.filter(account=account).update(invoice_name="", invoice_address="", tax_id="")
    Purchase.objects.filter(account=account, invoice_number=None).update(billed_to={})
    refunds = Refund.objects.filter(account=account)
    refunds.exclude(status=Refund.Status.REQUESTED).update(buyer_reason="")
    Mail.objects.filter(account=account, sent_at=None).delete()
    Mail.objects.filter(account=account).update(recipients=[], context={})
