"""Import paid subscriptions that exist at Stripe, such as those of members of legacy plans.

Invariants: a check changes nothing; a row is imported as a whole or not at all, whatever dies in between, and
importing it again changes nothing. The account's subscription is reserved first, then Stripe's is marked with
our metadata, and its state is applied like that of any other: by the response, or by its event.
"""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import selectors as accounts
from accounts.models import Account
from billing import offers, stripe_gateway
from billing.models import BillingProfile, Subscription
from billing.stripe_gateway import StripeObject
from billing.subscriptions import lifecycle, prices, stripe_objects, stripe_sync
from core.templatetags.money import money
from pricing.models import Plan

COLUMNS = ("account", "stripe_subscription_id", "plan")


class RowRefused(Exception):
    """A row cannot be imported; the message says why and what to do."""


class FileRefused(Exception):
    """The file is not a CSV with the columns of `COLUMNS`."""


@dataclass(frozen=True)
class Row:
    """A line of the file. `account` is an id, an external id or the e-mail address of a user."""

    line: int
    account: str
    subscription_id: str
    plan: str


@dataclass(frozen=True)
class Checked:
    """A row that can be imported. `done`: it is imported already."""

    row: Row
    account: Account
    plan: Plan
    payload: StripeObject
    done: bool


def read(lines: Iterable[str]) -> list[Row]:
    """The rows of a CSV file, whose first line names the columns. Raises FileRefused."""
    reader = csv.DictReader(lines, skipinitialspace=True, strict=True)
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise FileRefused(_("The first line must name the column %(name)s.") % {"name": missing[0]})
        return [
            Row(reader.line_num, *((values[name] or "").strip() for name in COLUMNS)) for values in reader
        ]
    except (csv.Error, UnicodeDecodeError) as error:
        raise FileRefused(_("This is not a CSV file: %(error)s") % {"error": error}) from error


def repeated(rows: list[Row]) -> dict[int, str]:
    """Lines that name the account or the subscription of an earlier line, with the reason of the refusal."""
    found: dict[int, str] = {}
    for position, row in enumerate(rows):
        for earlier in rows[:position]:
            if row.account.lower() == earlier.account.lower():
                found[row.line] = _("Line %(line)s is for the same account. Keep one of them.") % {
                    "line": earlier.line
                }
            elif row.subscription_id == earlier.subscription_id:
                found[row.line] = _("Line %(line)s has the same subscription. Keep one of them.") % {
                    "line": earlier.line
                }
    return found


def check(row: Row) -> Checked:
    """Compare a row with our records and with Stripe. Raises RowRefused, stripe_gateway.StripeUnavailable."""
    account = _find_account(row.account)
    plan = _find_plan(row.plan)
    done = _require_free_account(Subscription.objects.get(account=account), row, plan)
    try:
        payload = stripe_gateway.retrieve_subscription(row.subscription_id)
    except stripe_gateway.StripeUnavailable:
        raise
    except stripe_gateway.StripeError as error:
        raise RowRefused(
            _("Stripe has no such subscription. Check the id, and the key's account and mode.")
        ) from error
    _require_regular(payload)
    _require_price(payload, plan)
    _require_own_customer(payload, account)
    metadata = payload.get("metadata") or {}
    if metadata.get("account") not in {None, "", account.public_id}:
        raise RowRefused(
            _("The subscription's metadata name the account %(account)s. Correct the row.")
            % {"account": metadata["account"]}
        )
    done = done and metadata.get("account") == account.public_id
    return Checked(row=row, account=account, plan=plan, payload=payload, done=done)


def apply(checked: Checked, now: datetime) -> None:
    """Import a checked row. Raises RowRefused, and StripeUnavailable when the row has to be repeated."""
    if checked.done:
        return
    _reserve(checked, now)
    metadata = {
        "account": checked.account.public_id,
        "plan": checked.plan.key,
        "imported_at": str(int(now.timestamp())),  # earlier invoices are not ours (invoices)
    }
    digest = hashlib.sha256(f"{now.isoformat()}:{checked.account.pk.hex}".encode()).hexdigest()[:16]
    try:
        payload = stripe_gateway.update_subscription(
            key=f"import:{checked.row.subscription_id}:{digest}",
            subscription_id=checked.row.subscription_id,
            params={"metadata": metadata},
        )
    except stripe_gateway.StripeUnavailable:
        raise
    except stripe_gateway.StripeError as error:
        _release(checked)
        raise RowRefused(_("Stripe refused the change: %(error)s") % {"error": error}) from error
    try:
        stripe_sync.apply_snapshot(payload, now)
    except (offers.PlanClosed, stripe_sync.StaleSnapshot) as error:  # another change came in between
        raise RowRefused(_("The account was changed meanwhile. Import the row again.")) from error


def _find_account(name: str) -> Account:
    account = accounts.account_of_platform(name) if name else None
    if account is None and "@" in name:
        found = Account.objects.filter(person__email__iexact=name, person__is_active=True, erased_at=None)
        account = found.first()
    if account is None:
        raise RowRefused(
            _("No account has this id or e-mail address. Let the member sign up, or open an account.")
        )
    return account


def _find_plan(key: str) -> Plan:
    plan = Plan.objects.filter(key=key, retired_at=None).first()
    if plan is None:
        keys = Plan.objects.filter(retired_at=None).exclude(prices={}).values_list("key", flat=True)
        raise RowRefused(
            _("There is no such plan. Plans with a price: %(keys)s.") % {"keys": ", ".join(sorted(keys))}
        )
    if not plan.paid:
        raise RowRefused(_("This plan has no price. Add the members' price to the catalogue and load it."))
    return plan


def _require_regular(payload: StripeObject) -> None:
    """Raise RowRefused for a subscription that is not simply active, paid and renewed by itself."""
    status = payload.get("status")
    if status not in {"active", "trialing"}:
        raise RowRefused(
            _("The subscription is %(status)s. Import it when it is active and its invoice is paid.")
            % {"status": status}
        )
    invoice = payload.get("latest_invoice")
    unpaid = isinstance(invoice, dict) and invoice.get("status") != "paid"
    if status == "active" and unpaid:
        raise RowRefused(_("The latest invoice is not paid yet. Import the row when it is."))
    if payload.get("schedule"):
        raise RowRefused(_("The subscription has a schedule. Release it at Stripe first."))
    if payload.get("pause_collection"):
        raise RowRefused(_("The collection of payments is paused. Resume it at Stripe first."))
    if payload.get("collection_method") == "send_invoice":
        raise RowRefused(_("Its invoices are sent instead of charged. Change the collection method first."))
    if payload.get("discounts"):
        raise RowRefused(_("The subscription has a discount. Give it a price of the reduced amount instead."))


def _require_price(payload: StripeObject, plan: Plan) -> None:
    """Raise RowRefused unless the subscription has one item, at a price of the plan in the catalogue."""
    items: list[StripeObject] = (payload.get("items") or {}).get("data") or []
    if len(items) != 1 or items[0].get("quantity", 1) != 1:
        raise RowRefused(_("The subscription has several items. Leave one with the quantity 1."))
    price = items[0].get("price") or {}
    recurring = price.get("recurring") or {}
    interval, currency = str(recurring.get("interval")), str(price.get("currency"))
    amount = price.get("unit_amount")
    if recurring.get("interval_count", 1) != 1 or interval not in {"month", "year"} or amount is None:
        raise RowRefused(_("The price is not one amount for each month or year. Change it at Stripe first."))
    expected = (plan.prices.get(interval) or {}).get(currency)
    if expected != amount:
        raise RowRefused(
            _(
                "It costs %(amount)s each %(interval)s, the catalogue says %(expected)s."
                " Correct the plan of the row, or the plan's price in the catalogue."
            )
            % {
                "amount": money(int(amount), currency),
                "interval": interval,
                "expected": money(expected, currency) if expected is not None else _("no price"),
            }
        )


def _require_own_customer(payload: StripeObject, account: Account) -> None:
    customer = stripe_objects.id_of(payload.get("customer") or "")
    known = BillingProfile.objects.filter(stripe_customer_id=customer).exclude(account=account).first()
    if known is not None:
        raise RowRefused(
            _("Its customer belongs to the account %(account)s. Correct the row.")
            % {"account": known.account.public_id}
        )
    own = BillingProfile.objects.filter(account=account).exclude(stripe_customer_id=None).first()
    if own is not None and own.stripe_customer_id != customer:
        raise RowRefused(
            _("The account has another customer, %(customer)s. Move the subscription to it at Stripe.")
            % {"customer": own.stripe_customer_id}
        )


def _require_free_account(subscription: Subscription, row: Row, plan: Plan) -> bool:
    """Whether the account has this subscription and plan. Raises RowRefused when it cannot have them."""
    holder = Subscription.objects.filter(stripe_subscription_id=row.subscription_id).first()
    if holder is not None and holder.pk == subscription.pk:
        if subscription.plan != plan.key:
            raise RowRefused(
                _("It is imported already, and the account is on the plan %(plan)s now.")
                % {"plan": subscription.plan}
            )
        return True
    if holder is not None:
        raise RowRefused(
            _("Another account has this subscription: %(account)s.") % {"account": holder.account}
        )
    if subscription.paid:
        raise RowRefused(
            _("The account has the subscription %(id)s. Cancel one of them.")
            % {"id": subscription.stripe_subscription_id}
        )
    if plan.legacy and lifecycle.has_left_plan(subscription.account_id, plan.key):
        raise RowRefused(_("The account has left this legacy plan, which is final. Choose a current plan."))
    return False


def _reserve(checked: Checked, now: datetime) -> None:
    """Record customer and price, and let this subscription enter the plan. Raises RowRefused."""
    with transaction.atomic():
        subscription = lifecycle.lock_subscription(checked.account.pk)
        _require_free_account(subscription, checked.row, checked.plan)
        profile, _created = BillingProfile.objects.get_or_create(account=checked.account)
        if not profile.stripe_customer_id:
            profile.stripe_customer_id = stripe_objects.id_of(checked.payload["customer"])
            profile.save(update_fields=["stripe_customer_id"])
        price = checked.payload["items"]["data"][0]["price"]
        recorded = prices.record_imported(price, checked.plan.key)
        if recorded.plan_key != checked.plan.key:
            raise RowRefused(
                _("Its price belongs to the plan %(plan)s. Correct the row.") % {"plan": recorded.plan_key}
            )
        if recorded.stripe_price_id != price["id"]:
            raise RowRefused(
                _("Others on this plan have the price %(price)s. Change to it at Stripe, without proration.")
                % {"price": recorded.stripe_price_id}
            )
        if not subscription.paid:
            intent = lifecycle.import_intent(checked.row.subscription_id, checked.plan.key)
            lifecycle.claim(subscription, intent, now)


def _release(checked: Checked) -> None:
    intent = lifecycle.import_intent(checked.row.subscription_id, checked.plan.key)
    Subscription.objects.filter(account=checked.account, intent=intent).update(intent="")
