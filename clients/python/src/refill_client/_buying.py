"""Endpoints of accounts, offers, purchases and the subscription. Each function returns a call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from refill_client._calls import JSON, Call, Page, delete, get, get_page, path, post_once
from refill_client._decoding import Amount, amount, given
from refill_client.models import (
    Account,
    AnyGrant,
    ChangePreview,
    Checkout,
    CheckoutPreview,
    OverduePayment,
    Pack,
    Plan,
    Purchase,
    Redemption,
    Refund,
    Subscription,
)


def create_account(
    *,
    external_id: str | None = None,
    name: str | None = None,
    zone: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Account]:
    """Open an account for a user of the product (platform keys). `zone`: an IANA time zone."""
    body = {"external_id": external_id, "name": name, "zone": zone}
    return post_once("/accounts", Account, body, idempotency_key)


def get_account(account: str) -> Call[Account]:
    """One account, by id or external id (platform keys)."""
    return get(path("accounts", account), Account)


def give_credits(
    account: str,
    credits: Amount,
    *,
    kind: str = "bonus",
    label: str | None = None,
    expires_at: datetime | None = None,
    services: Sequence[str] | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Call[AnyGrant]:
    """Grant credits to an account (platform keys)."""
    body: JSON = {"credits": amount(credits), "kind": kind, "label": label, "expires_at": expires_at}
    body |= {"services": None if services is None else list(services), "reason": reason}
    return post_once(path("accounts", account, "grants"), AnyGrant, body, idempotency_key)


def plans(*, account: str | None = None) -> Call[Page[Plan]]:
    """Plans, with prices in each currency and whether this account can subscribe."""
    return get_page("/plans", Plan, account=account)


def packs(*, account: str | None = None) -> Call[Page[Pack]]:
    """Packs, with prices in each currency and whether this account can buy them."""
    return get_page("/packs", Pack, account=account)


def checkout(
    *,
    pack: str | None = None,
    plan: str | None = None,
    currency: str | None = None,
    quantity: int | None = None,
    interval: str | None = None,
    code: str | None = None,
    confirm: bool | None = None,
    account: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Checkout]:
    """A payment page for a pack or a plan. `confirm`: leaving a legacy plan, which cannot be undone."""
    body = {"pack": pack, "plan": plan, "currency": currency, "quantity": quantity, "interval": interval}
    body |= {"code": code, "confirm": confirm, "account": account}
    return post_once("/checkouts", Checkout, body, idempotency_key)


def preview_checkout(
    pack: str,
    *,
    quantity: int | None = None,
    currency: str | None = None,
    code: str | None = None,
    account: str | None = None,
) -> Call[CheckoutPreview]:
    """What packs would cost, with the discount of a promotion code; creates nothing."""
    body = {"pack": pack, "quantity": quantity, "currency": currency, "code": code, "account": account}
    return post_once("/checkouts", CheckoutPreview, {**body, "preview": True}, None)


def purchases(*, account: str | None = None, limit: int | None = None) -> Call[Page[Purchase]]:
    """Purchases, newest first."""
    return get_page("/purchases", Purchase, account=account, limit=limit)


def get_purchase(purchase: str, *, account: str | None = None) -> Call[Purchase]:
    """One purchase, with its refunds and what could be refunded."""
    return get(path("purchases", purchase), Purchase, account=account)


def cancel_purchase(
    purchase: str, *, account: str | None = None, idempotency_key: str | None = None
) -> Call[Purchase]:
    """Cancel a purchase that is not paid. Raises Conflict (`not_open`) for one that is."""
    return post_once(path("purchases", purchase, "cancel"), Purchase, {"account": account}, idempotency_key)


def invoice(purchase: str, *, account: str | None = None) -> Call[bytes]:
    """The invoice of a paid purchase, as a PDF file."""
    query = given({"account": account})
    return Call("GET", path("purchases", purchase, "invoice"), bytes, query=query, binary=True)


def withdraw_refund_request(purchase: str, *, account: str | None = None) -> Call[None]:
    """Withdraw the refund request of a purchase that is not decided yet."""
    return delete(path("purchases", purchase, "refund-requests"), account=account)


def request_refund(
    purchase: str,
    *,
    reason: str | None = None,
    account: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Refund]:
    """Ask for a refund of what is unspent of a purchase."""
    body = {"reason": reason, "account": account}
    return post_once(path("purchases", purchase, "refund-requests"), Refund, body, idempotency_key)


def subscription(*, account: str | None = None) -> Call[Subscription]:
    """The plan of the account."""
    return get("/subscription", Subscription, account=account)


def change_subscription(
    plan: str,
    *,
    interval: str | None = None,
    currency: str | None = None,
    confirm: bool | None = None,
    account: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Subscription]:
    """Change the plan. `confirm`: leaving a legacy plan, which cannot be undone."""
    body = {"plan": plan, "interval": interval, "currency": currency, "confirm": confirm, "account": account}
    return post_once("/subscription/change", Subscription, body, idempotency_key)


def preview_subscription_change(
    plan: str, *, interval: str | None = None, currency: str | None = None, account: str | None = None
) -> Call[ChangePreview]:
    """What a change of plan would cost and do; changes nothing."""
    body = {"plan": plan, "interval": interval, "currency": currency, "preview": True, "account": account}
    return post_once("/subscription/change", ChangePreview, body, None)


def cancel_subscription(
    *,
    feedback: str | None = None,
    comment: str | None = None,
    account: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Subscription]:
    """Cancel the plan at the end of its period."""
    body = {"feedback": feedback, "comment": comment, "account": account}
    return post_once("/subscription/cancel", Subscription, body, idempotency_key)


def resume_subscription(
    *, account: str | None = None, idempotency_key: str | None = None
) -> Call[Subscription]:
    """Withdraw a cancellation that is scheduled."""
    return post_once("/subscription/resume", Subscription, {"account": account}, idempotency_key)


def pause_subscription(
    months: int, *, account: str | None = None, idempotency_key: str | None = None
) -> Call[Subscription]:
    """Skip the payments and the credits of the next months."""
    body = {"months": months, "account": account}
    return post_once("/subscription/pause", Subscription, body, idempotency_key)


def unpause_subscription(
    *, account: str | None = None, idempotency_key: str | None = None
) -> Call[Subscription]:
    """End the pause: the plan goes on with the next month."""
    return post_once("/subscription/unpause", Subscription, {"account": account}, idempotency_key)


def pay_overdue(*, account: str | None = None, idempotency_key: str | None = None) -> Call[OverduePayment]:
    """Pay the overdue invoice of the plan with its card. `url` is the page to confirm the payment on."""
    return post_once("/subscription/pay", OverduePayment, {"account": account}, idempotency_key)


def redeem(code: str, *, account: str | None = None, idempotency_key: str | None = None) -> Call[Redemption]:
    """Redeem a promotion or invitation code."""
    return post_once("/redemptions", Redemption, {"code": code, "account": account}, idempotency_key)
