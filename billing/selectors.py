"""Reads of billing for pages and the API. Nothing here writes or keeps state."""

from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from billing.models import BillingProfile, Grant, Limit, Purchase, Subscription
from billing.subscriptions import plan_terms
from billing.subscriptions.plan_terms import Quota


def subscription_of(account_id: UUID) -> Subscription | None:
    """The account's subscription; None before the account is provisioned."""
    return Subscription.objects.filter(account_id=account_id).first()


def has_paid_plan(account_id: UUID) -> bool:
    """Whether the account is on a paid plan that is not overdue; legacy plans that once cost money count."""
    terms = plan_terms.get(account_id)
    return terms.paid and not terms.past_due


def profile_of(account_id: UUID) -> BillingProfile:
    """The account's billing profile; an unsaved empty one before its first purchase."""
    return BillingProfile.objects.filter(pk=account_id).first() or BillingProfile(account_id=account_id)


def purchases_of(account_id: UUID) -> QuerySet[Purchase]:
    """The account's purchases with their disputes, newest first."""
    found = Purchase.objects.filter(account_id=account_id).prefetch_related("disputes")
    return found.order_by("-created_at", "-id")


def pending_plan(account_id: UUID) -> Purchase | None:
    """The purchase of a plan whose payment takes days and has not arrived; None when there is none."""
    plans = Purchase.objects.filter(account_id=account_id, kind=Purchase.Kind.PLAN)
    return plans.filter(status=Purchase.Status.PENDING).order_by("created_at").first()


def remaining_credits(purchase: Purchase) -> Decimal:
    """The unspent credits of a purchase, without those on hold."""
    grants = Grant.objects.filter(account_id=purchase.account_id, purchase_id=purchase.pk)
    return grants.aggregate(left=Sum("remaining"))["left"] or Decimal(0)


def remaining_credits_by_purchase(purchases: list[Purchase]) -> dict[UUID, Decimal]:
    """The unspent credits of each purchase by its id; purchases without grants are left out."""
    grants = Grant.objects.filter(purchase_id__in=[purchase.pk for purchase in purchases])
    return dict(grants.values_list("purchase_id").annotate(left=Sum("remaining")))


def quota_usage(account_id: UUID) -> list[tuple[Quota, Decimal]]:
    """Each quota of the account's plan with the amount that is used."""
    used = dict(
        Limit.objects.filter(account_id=account_id, kind=Limit.Kind.QUOTA).values_list("subject", "used")
    )
    return [(quota, used.get(quota.key, Decimal(0))) for quota in plan_terms.get(account_id).quotas.values()]
