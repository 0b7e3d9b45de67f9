"""E-mails that warn of cards that expire at the end of the month and pay a plan or automatic top-ups.

Invariant: there is one e-mail for each card and expiry date. A card that the network replaces keeps its id
and gets a new date (https://docs.stripe.com/payments/cards/overview#automatic-card-updates).
"""

from datetime import datetime

from django.db.models import Q

from billing.models import BillingProfile
from billing.models.profile import expiry_of
from billing.notifications import emails


def queue_due(now: datetime) -> int:
    """Queue a warning for each card of this month that pays something; return the number of cards."""
    month = expiry_of(now)
    in_use = Q(card_expires=month, account__auto_top_up__enabled=True) | Q(plan_card_expires=month)
    profiles = BillingProfile.objects.filter(in_use).select_related("account__auto_top_up")
    queued = 0
    for profile in profiles.iterator():
        settings = getattr(profile.account, "auto_top_up", None)
        pays_plan = profile.plan_card_expires == month
        pays_top_ups = profile.card_expires == month and settings is not None and settings.enabled
        cards = {}
        if pays_plan:
            cards[profile.plan_card_id] = profile.plan_card_name, profile.plan_card_last4
        if pays_top_ups:
            cards[profile.card_id] = profile.card_name, profile.card_last4
        for card_id, (card, last4) in cards.items():
            emails.queue(
                account_id=profile.pk,
                template="card_expiring",
                key=f"card_expiring:{card_id}:{month}",
                context={
                    "card": card,
                    "last4": last4,
                    "expires": month,
                    "plan": pays_plan and profile.plan_card_id == card_id,
                    "top_up": pays_top_ups and profile.card_id == card_id,
                },
                now=now,
            )
        queued += len(cards)
    return queued
