"""Models of billing, including those of the ledger (billing.ledger.models)."""

from billing.ledger.models import (
    Allowance,
    Archive,
    ArchivedWallet,
    Audit,
    AuditProgress,
    Charge,
    Checkpoint,
    Correction,
    Entry,
    Grant,
    Head,
    Hold,
    Limit,
    Notice,
    Wallet,
)
from billing.models.adjustment import CreditAdjustment
from billing.models.monthly_budget import MonthlyBudget
from billing.models.notification import AlertSettings, Mail
from billing.models.profile import BillingProfile
from billing.models.promotion import InvitationCode, Promotion, Redemption, Referral, SingleUseCode
from billing.models.purchase import AutoTopUp, InvoiceYear, Purchase
from billing.models.refund import Dispute, Refund, WithdrawnPlanPayment
from billing.models.stripe_event import Reconciliation, StripeEvent
from billing.models.subscription import (
    PlanChange,
    StripePrice,
    Subscription,
    SurplusSubscription,
    UnpaidDeduction,
)

__all__ = [
    "AlertSettings",
    "Allowance",
    "Archive",
    "ArchivedWallet",
    "Audit",
    "AuditProgress",
    "AutoTopUp",
    "BillingProfile",
    "Charge",
    "Checkpoint",
    "Correction",
    "CreditAdjustment",
    "Dispute",
    "Entry",
    "Grant",
    "Head",
    "Hold",
    "InvitationCode",
    "InvoiceYear",
    "Limit",
    "Mail",
    "MonthlyBudget",
    "Notice",
    "PlanChange",
    "Promotion",
    "Purchase",
    "Reconciliation",
    "Redemption",
    "Referral",
    "Refund",
    "SingleUseCode",
    "StripeEvent",
    "StripePrice",
    "Subscription",
    "SurplusSubscription",
    "UnpaidDeduction",
    "Wallet",
    "WithdrawnPlanPayment",
]
