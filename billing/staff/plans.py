"""Admin class of plans, with what a change means for their members.

Invariant: a changed price changes no subscription (billing.subscriptions.prices).
"""

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import Subscription
from pricing.admin import PlanAdmin
from pricing.models import Plan


@admin.register(Plan)
class MembersPlanAdmin(PlanAdmin):
    """The admin of plans of `pricing.admin`, with the number of members, which pricing cannot read."""

    def notes(self, row: Plan | None) -> list[str]:
        if row is None:
            return []
        members = Subscription.objects.filter(plan=row.key)
        count, paying = members.count(), members.exclude(stripe_subscription_id=None).count()
        on_it = ngettext("%(count)s account is on this plan.", "%(count)s accounts are on this plan.", count)
        kept = ngettext(
            "%(count)s subscriber pays for this plan and keeps the price at which it subscribed.",
            "%(count)s subscribers pay for this plan and keep the price at which they subscribed.",
            paying,
        )
        return [
            on_it % {"count": count},
            kept % {"count": paying},
            _("A new price is for subscriptions and changes of plan from now on."),
            _("Members keep their allowances and quotas until their plan is renewed or changed."),
        ]
