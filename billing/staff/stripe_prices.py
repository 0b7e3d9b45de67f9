"""Admin class of Stripe Prices: which plan a price pays, and where it differs from the catalogue.

Invariant: the plan of a price can be chosen once, when it was made in Stripe's dashboard and names none.
"""

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import action

from billing import offers
from billing.models import StripePrice, Subscription
from billing.subscriptions import prices
from billing.webhooks import events
from core.staff_admin import ReadOnlyAdmin
from core.templatetags.money import money
from pricing.models import Plan


class PlanOfPriceForm(forms.Form):
    plan = forms.ModelChoiceField(label=_("Plan"), queryset=Plan.objects.all(), to_field_name="key")


@admin.register(StripePrice)
class StripePriceAdmin(ReadOnlyAdmin):
    list_display = [
        "stripe_price_id",
        "plan",
        "interval",
        "price",
        "catalogue_price",
        "agrees",
        "offered",
        "subscribers",
    ]
    list_filter = ["offered", "interval", "plan_key", "stripe_account"]
    search_fields = ["stripe_price_id", "plan_key"]
    ordering = ["plan_key", "interval", "currency"]
    actions_detail = ["choose_plan"]

    @admin.display(description=_("plan"), ordering="plan_key")
    def plan(self, price: StripePrice) -> str:
        return str(price.plan_key or _("not chosen"))

    @admin.display(description=_("price at Stripe"))
    def price(self, price: StripePrice) -> str:
        return money(price.amount, price.currency)

    @admin.display(description=_("price in the catalogue"))
    def catalogue_price(self, price: StripePrice) -> str:
        amount = _catalogue_amount(price)
        return "–" if amount is None else money(amount, price.currency)

    @admin.display(description=_("agrees"), boolean=True)
    def agrees(self, price: StripePrice) -> bool:
        return _catalogue_amount(price) == price.amount

    @admin.display(description=_("subscribers"))
    def subscribers(self, price: StripePrice) -> int:
        paid = Subscription.objects.exclude(stripe_subscription_id=None)
        return paid.filter(
            plan=price.plan_key, interval=price.interval, currency=price.currency, amount=price.amount
        ).count()

    @action(description=_("Choose plan"), url_path="plan", permissions=["choose_plan"])
    def choose_plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        price = self.object_or_404(request, object_id)
        if price.plan_key:
            messages.error(
                request, _("This price already pays the plan %(plan)s.") % {"plan": price.plan_key}
            )
            return redirect("admin:billing_stripeprice_change", object_id)
        form = PlanOfPriceForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            plan = form.cleaned_data["plan"].key
            with transaction.atomic():
                prices.choose_plan(price, plan)
                self.record(request, price, "choose_plan", before={"plan": ""}, after={"plan": plan})
            applied = events.retry_unknown_price(price.stripe_price_id, timezone.now())
            message = ngettext(
                "Plan saved. %(count)s waiting event was applied.",
                "Plan saved. %(count)s waiting events were applied.",
                applied,
            )
            messages.success(request, message % {"count": applied})
            return redirect("admin:billing_stripeprice_change", object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Choose the plan that %(price)s pays") % {"price": price.stripe_price_id},
            "lines": [
                _("%(amount)s each %(interval)s at Stripe.")
                % {"amount": money(price.amount, price.currency), "interval": price.interval},
                _("Events that waited for this choice are applied at once. It cannot be changed later."),
            ],
            "form": form,
            "choices": [("choose", _("Choose plan"))],
            "back": reverse("admin:billing_stripeprice_change", args=[object_id]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def has_choose_plan_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_stripeprice")  # type: ignore[union-attr]


def _catalogue_amount(price: StripePrice) -> int | None:
    """The catalogue's present price of the same plan, interval and currency; None when it has none."""
    try:
        _plan, amount = offers.get_plan_price(
            key=price.plan_key, interval=price.interval, currency=price.currency
        )
    except (offers.UnknownOffer, offers.UnknownCurrency, offers.PlanClosed):
        return None
    return amount
