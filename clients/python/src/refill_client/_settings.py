"""Endpoints of the account's settings, saved card and invitation link. Each function returns a call."""

from __future__ import annotations

from collections.abc import Sequence

from refill_client._calls import JSON, Call, Page, delete, get, get_page, post, post_once, reader
from refill_client._decoding import Amount, amount, amount_or_none, given
from refill_client.models import (
    AccountSettings,
    Alerts,
    AutoTopUp,
    CardPage,
    ConfirmedTopUp,
    CustomerPortal,
    MonthlyBudget,
    PaymentMethod,
    Referral,
    ReferralLink,
)


def settings(*, account: str | None = None) -> Call[AccountSettings]:
    """Name, time zone and invoice details of the account."""
    return get("/settings", AccountSettings, account=account)


def update_settings(
    *,
    name: str | None = None,
    zone: str | None = None,
    invoice_name: str | None = None,
    invoice_address: str | None = None,
    tax_id: str | None = None,
    on_memorial_wall: bool | None = None,
    account: str | None = None,
) -> Call[AccountSettings]:
    """Change settings of the account. What is left out keeps its value; `zone` is an IANA time zone."""
    body: JSON = {"name": name, "zone": zone, "on_memorial_wall": on_memorial_wall, "account": account}
    body |= {"invoice_name": invoice_name, "invoice_address": invoice_address, "tax_id": tax_id}
    return Call("PATCH", "/settings", reader(AccountSettings), body=given(body))


def payment_method(*, account: str | None = None) -> Call[PaymentMethod]:
    """The saved card, and what the plan is charged to."""
    return get("/payment-method", PaymentMethod, account=account)


def card_page(*, account: str | None = None, idempotency_key: str | None = None) -> Call[CardPage]:
    """A page on which the buyer saves a card for the plan and automatic top-ups."""
    return post_once("/payment-method", CardPage, {"account": account}, idempotency_key)


def remove_card(*, account: str | None = None) -> Call[None]:
    """Remove the saved card. Raises Conflict (`card_pays_plan`) for one that pays a running plan."""
    return delete("/payment-method", account=account)


def customer_portal(*, account: str | None = None) -> Call[CustomerPortal]:
    """Stripe's page of the card, the address and the invoices."""
    return post("/customer-portal", CustomerPortal, {"account": account})


def referral_link(*, account: str | None = None) -> Call[ReferralLink]:
    """The invitation link, and what it gives to both sides."""
    return get("/referral-link", ReferralLink, account=account)


def referrals(*, account: str | None = None, limit: int | None = None) -> Call[Page[Referral]]:
    """Accounts that signed up through the link, newest first."""
    return get_page("/referrals", Referral, account=account, limit=limit)


def alerts(*, account: str | None = None) -> Call[Alerts]:
    """Settings of the alert for low credits."""
    return get("/alerts", Alerts, account=account)


def set_alerts(
    *,
    enabled: bool,
    below: Amount,
    also_below: Sequence[Amount] | None = None,
    by_email: bool | None = None,
    extra_addresses: Sequence[str] | None = None,
    account: str | None = None,
) -> Call[Alerts]:
    """Set the alert for low credits; `below` and the further thresholds `also_below` in credits."""
    body: JSON = {"enabled": enabled, "below": amount(below), "by_email": by_email, "account": account}
    body["also_below"] = None if also_below is None else [amount(threshold) for threshold in also_below]
    body["extra_addresses"] = None if extra_addresses is None else list(extra_addresses)
    return Call("PUT", "/alerts", reader(Alerts), body=given(body))


def monthly_budget(*, account: str | None = None) -> Call[MonthlyBudget]:
    """The budget of a calendar month, and what is used of it."""
    return get("/monthly-budget", MonthlyBudget, account=account)


def set_monthly_budget(
    credits: Amount | None, *, pauses: bool | None = None, account: str | None = None
) -> Call[MonthlyBudget]:
    """Set the monthly budget, None removes it. With `pauses` what exceeds it is refused."""
    body: JSON = {"credits": amount_or_none(credits), **given({"pauses": pauses, "account": account})}
    return Call("PUT", "/monthly-budget", reader(MonthlyBudget), body=body)


def auto_top_up(*, account: str | None = None) -> Call[AutoTopUp]:
    """Settings and state of the automatic top-up."""
    return get("/auto-top-up", AutoTopUp, account=account)


def set_auto_top_up(
    *,
    enabled: bool,
    below: Amount | None = None,
    pack: str | None = None,
    currency: str | None = None,
    monthly_amount: int | None = None,
    monthly_count: int | None = None,
    account: str | None = None,
) -> Call[AutoTopUp]:
    """Set the automatic top-up: `below` in credits, `monthly_amount` in minor units of `currency`."""
    body: JSON = {"enabled": enabled, "below": None if below is None else amount(below), "pack": pack}
    body |= {"currency": currency, "monthly_amount": monthly_amount, "monthly_count": monthly_count}
    return Call("PUT", "/auto-top-up", reader(AutoTopUp), body=given({**body, "account": account}))


def confirm_top_up(*, account: str | None = None, idempotency_key: str | None = None) -> Call[ConfirmedTopUp]:
    """Confirm the top-up that the bank wants confirmed. `url` is the bank's page for the cardholder."""
    return post_once("/auto-top-up/confirm", ConfirmedTopUp, {"account": account}, idempotency_key)
