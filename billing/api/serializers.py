"""How money looks to a client. Plain functions from rows to JSON; api.md fixes the names."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.models import Account
from billing import offers, selectors
from billing.models import AlertSettings, AutoTopUp, Purchase, Refund, Subscription
from billing.purchases import auto_top_up
from billing.refunds import requests
from billing.subscriptions import plan_terms
from core import ids
from core.amounts import plain
from core.fields import instant, instant_or_none
from pricing.models import Plan


def account_id(value: UUID) -> str:
    return ids.public_id(prefix=Account.PREFIX, value=value)


def plan(row: Plan, present: Subscription | None) -> dict[str, Any]:
    current = present is not None and present.plan == row.key
    return {
        "key": row.key,
        "name": row.name,
        "summary": row.summary,
        "features": row.features,
        "rank": row.rank,
        "free": row.free,
        "legacy": row.legacy,
        "carry_over": row.carry_over,
        "current": current,
        "eligible": row.open_to_new_members and not current,
        "prices": [
            {"interval": interval, "currency": currency, "amount": amount}
            for interval, prices in row.prices.items()
            for currency, amount in prices.items()
        ],
        "allowances": [
            {
                "label": one["label"],
                "kind": one["kind"],
                "credits": plain(Decimal(one["credits"])),
                "period": one["period"],
                "services": one.get("services"),
            }
            for one in row.allowances
        ],
        "quotas": [{name: one[name] for name in ("key", "label", "maximum", "period")} for one in row.quotas],
        "unlimited_services": row.unlimited_services,
    }


def pack(by_currency: list[offers.PackOffer]) -> dict[str, Any]:
    """One pack with its price in each currency."""
    row = by_currency[0].pack
    return {
        "key": row.key,
        "name": row.name,
        "summary": row.summary,
        "credits": plain(row.credits),
        "lasts": row.lasts,
        "popular": row.popular,
        "paid_plans_only": row.paid_plans_only,
        "eligible": by_currency[0].allowed,
        "prices": [
            {
                "currency": offer.currency,
                "amount": offer.amount,
                "list_amount": offer.list_amount,
                "each": plain(offer.each.quantize(Decimal("0.000001"))),
                "saving_percent": offer.saving_percent,
                "sale": {"label": offer.sale.label, "ends_at": instant(offer.sale.ends_at)}
                if offer.sale
                else None,
            }
            for offer in by_currency
        ],
    }


def checkout(row: Purchase, url: str) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "purchase": row.public_id,
        "url": url,
        "status": row.status,
        "amount": row.amount,
        "currency": row.currency,
        "credits": plain(row.credits),
    }


def purchase(row: Purchase, left: Decimal) -> dict[str, Any]:
    is_pack = row.kind == Purchase.Kind.PACK
    return {
        "id": row.public_id,
        "account": account_id(row.account_id),
        "status": row.status,
        "kind": row.kind,
        "origin": row.origin,
        "pack": row.offer if is_pack else None,
        "plan": None if is_pack else row.offer,
        "label": row.label,
        "quantity": row.quantity,
        "credits": plain(row.credits),
        "credits_left": plain(left),
        "amount": row.amount,
        "list_amount": row.list_amount,
        "refunded": row.refunded,
        "currency": row.currency,
        "payment_method": row.payment_method or None,
        "invoice_number": row.invoice_number,
        "receipt_url": row.receipt_url or None,
        "checkout_url": row.checkout_url if row.status == Purchase.Status.CREATED else None,
        "failure": row.trouble if row.status == Purchase.Status.FAILED else None,
        "created_at": instant(row.created_at),
        "paid_at": instant_or_none(row.paid_at),
    }


def purchase_in_full(row: Purchase, now: datetime) -> dict[str, Any]:
    """One purchase with its refunds and what could go back now."""
    try:
        sum_ = requests.refundable(row, now)
    except requests.RefundRefused as refusal:
        could: dict[str, Any] = {"amount": 0, "code": refusal.code}
    else:
        could = {"amount": sum_.amount, "credits": plain(sum_.credits), "until": instant(sum_.ends_at)}
    return purchase(row, selectors.remaining_credits(row)) | {
        "refunds": [refund(one) for one in row.refunds.order_by("-created_at")],
        "refundable": could,
    }


def refund(row: Refund) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "purchase": ids.public_id(prefix=Purchase.PREFIX, value=row.purchase_id),
        "status": row.status,
        "amount": row.amount,
        "currency": row.currency,
        "credits": plain(row.credits),
        "reason": row.wish,
        "decision": row.decision,
        "created_at": instant(row.created_at),
        "decided_at": instant_or_none(row.decided_at),
    }


def subscription(row: Subscription) -> dict[str, Any]:
    terms = plan_terms.get(row.account_id)
    return {
        "account": account_id(row.account_id),
        "plan": row.plan,
        "name": terms.name,
        "state": row.state,
        "legacy": terms.legacy,
        "interval": row.interval or None,
        "amount": row.amount,
        "currency": row.currency or None,
        "period_start": instant(row.period_start),
        "period_end": instant_or_none(row.period_end),
        "cancel_at_period_end": row.cancel_at_period_end,
        "next_plan": row.next_plan or None,
        "recovery_url": row.recovery_url or None,
        "unlimited_services": sorted(terms.unlimited_services),
        "quotas": [
            {
                "key": quota.key,
                "label": quota.label,
                "maximum": int(quota.maximum),
                "period": quota.period,
                "used": int(used),
            }
            for quota, used in selectors.quota_usage(row.account_id)
        ],
    }


def alerts(row: AlertSettings) -> dict[str, Any]:
    return {
        "enabled": row.enabled,
        "below": plain(row.below),
        "by_email": row.by_email,
        "extra_addresses": row.extra_addresses,
    }


def top_up(row: AutoTopUp, now: datetime) -> dict[str, Any]:
    spent, count = auto_top_up.spent_this_month(row.pk, now)
    profile = selectors.profile_of(row.pk)
    card = {"brand": profile.card_brand, "last4": profile.card_last4, "expires": profile.card_expires}
    return {
        "enabled": row.enabled,
        "below": plain(row.below),
        "pack": row.pack or None,
        "currency": row.currency or None,
        "monthly_amount": row.monthly_amount,
        "monthly_count": row.monthly_count,
        "spent_this_month": spent,
        "bought_this_month": count,
        "last_outcome": row.last_outcome or None,
        "last_tried_at": instant_or_none(row.last_tried_at),
        "card": card if profile.card_id else None,
    }
