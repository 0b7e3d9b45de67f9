"""Billing's tables. The ledger's own are defined beside it."""

from billing.ledger.models import (
    Allowance,
    Audit,
    Charge,
    Correction,
    Entry,
    Grant,
    Hold,
    Limit,
    Notice,
    Wallet,
)
from billing.models.messages import Mail, Reconciliation, StripeEvent
from billing.models.profile import BillingProfile, StripePrice
from billing.models.promotion import InvitationCode, Promotion, Redemption, Referral
from billing.models.purchase import AlertSettings, AutoTopUp, Dispute, InvoiceYear, Purchase, Refund
from billing.models.subscription import PlanChange, Subscription

__all__ = [
    "AlertSettings",
    "Allowance",
    "Audit",
    "AutoTopUp",
    "BillingProfile",
    "Charge",
    "Correction",
    "Dispute",
    "Entry",
    "Grant",
    "Hold",
    "InvitationCode",
    "InvoiceYear",
    "Limit",
    "Mail",
    "Notice",
    "PlanChange",
    "Promotion",
    "Purchase",
    "Reconciliation",
    "Redemption",
    "Referral",
    "Refund",
    "StripeEvent",
    "StripePrice",
    "Subscription",
    "Wallet",
]
