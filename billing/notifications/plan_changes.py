"""E-mails that confirm what becomes of a plan after its paid period: a cancellation or another plan.

Invariant: there is one e-mail for each version of the subscription that is cancelled, and one for each plan
that follows each period, however often Stripe's objects are applied.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from accounts.models import Account
from billing.models import Subscription
from billing.notifications import emails
from pricing.models import Plan


def queue(subscription: Subscription, *, was_cancelled: bool, followed_by: str, now: datetime) -> None:
    """Queue the e-mail about a saved, locked subscription, if its schedule has changed.

    `was_cancelled` and `followed_by`: its schedule before.
    """
    end = subscription.period_end
    if end is None:
        return
    if subscription.cancel_at_period_end:
        if not was_cancelled:
            key = f"plan_cancelled:{subscription.pk.hex}:{subscription.version}"
            _queue(subscription, "plan_cancelled", key=key, end=end, now=now)
    elif subscription.next_plan and subscription.next_plan != followed_by:
        key = f"plan_change:{subscription.pk.hex}:{subscription.next_plan}:{end:%Y-%m-%d}"
        _queue(subscription, "plan_change", key=key, end=end, now=now)


def _queue(subscription: Subscription, template: str, *, key: str, end: datetime, now: datetime) -> None:
    zone = Account.objects.values_list("zone", flat=True).get(pk=subscription.account_id)
    names = dict(
        Plan.objects.filter(key__in=[subscription.plan, subscription.next_plan]).values_list("key", "name")
    )
    emails.queue(
        account_id=subscription.account_id,
        template=template,
        key=key,
        context={
            "plan": names.get(subscription.plan, subscription.plan),
            "next_plan": names.get(subscription.next_plan, subscription.next_plan),
            "day": end.astimezone(ZoneInfo(zone)).date().isoformat(),
            "amount": subscription.next_amount,
            "currency": subscription.currency,
            "interval": subscription.interval,
        },
        now=now,
    )
