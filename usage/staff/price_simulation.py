"""The admin of rate cards: price simulation of a card, and publishing a draft from there.

Invariant: only staff who may change rate cards can simulate or publish; a draft is published only with the
rates that the simulation showed.
"""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from core import staff_acts
from pricing.admin import RateCardAdmin
from pricing.catalogue import rate_cards
from pricing.models import RateCard
from pricing.staff import rate_card_pages
from usage.repricing import price_simulation

WHEN = [("now", _("From now")), ("date", _("From a date"))]


class DaysForm(forms.Form):
    days = forms.IntegerField(label=_("Days"), min_value=1, max_value=90, initial=14)


class PublishForm(forms.Form):
    """When the rates whose simulation was reviewed take effect."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    when = forms.ChoiceField(
        label=_("From when the prices apply"), choices=WHEN, initial="date", widget=forms.RadioSelect
    )
    at = forms.DateTimeField(
        label=_("Date and time"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("when") == "date" and not data.get("at") and "at" not in self.errors:
            self.add_error("at", _("Enter the date from which the prices apply."))
        return data


@admin.register(RateCard)
class SimulatedRateCardAdmin(RateCardAdmin):
    """The admin of rate cards of `pricing.admin`, with the pages that simulate and publish.

    It is registered here because the simulation reads charges, which pricing cannot import.
    """

    def get_fields(self, request: HttpRequest, obj: RateCard | None = None) -> list[str]:
        fields = super().get_fields(request, obj)
        return fields if obj is None else ["simulation_", *fields]

    @admin.display(description=_("price simulation"))
    def simulation_(self, card: RateCard) -> str:
        link = reverse("admin:pricing_ratecard_simulation", args=[card.pk])
        text = _("Simulate and publish") if card.state == RateCard.State.DRAFT else _("Simulate prices")
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500 underline" href="{}">{}</a>', link, text
        )

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site
        return [
            path(
                "<uuid:card_id>/simulation/",
                site.admin_view(require_safe(self.simulation)),
                name="pricing_ratecard_simulation",
            ),
            path(
                "<uuid:card_id>/publish/",
                site.admin_view(require_POST(self.publish)),
                name="pricing_ratecard_publish",
            ),
            *super().get_urls(),
        ]

    def simulation(self, request: HttpRequest, card_id: UUID) -> HttpResponse:
        """Show what the charges of the last days would have cost by the card."""
        card = self.card_or_404(request, card_id)
        return self._simulation(request, card, None)

    def _simulation(
        self, request: HttpRequest, card: RateCard, publishing: PublishForm | None
    ) -> HttpResponse:
        now = timezone.now()
        form = DaysForm(request.GET or None)
        days = form.cleaned_data["days"] if form.is_valid() else DaysForm.base_fields["days"].initial
        simulation = price_simulation.simulate(card, days=days, now=now)
        first = {"seen": simulation.fingerprint, "at": card.effective_at}
        first["when"] = "date" if card.effective_at > now else "now"
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("Price simulation of %(card)s") % {"card": card.version},
            "card": card,
            "form": form,
            "days": days,
            "simulation": simulation,
            "differences": rate_card_pages.differences_of(card, now),
            "publishing": publishing or PublishForm(initial=first),
            "zone": timezone.get_current_timezone_name(),
            "reasons": rate_cards.reasons_against(card),
            "coming": rate_cards.coming_after(card, now),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/pricing/price_simulation.html", context)

    def publish(self, request: HttpRequest, card_id: UUID) -> HttpResponse:
        """Publish the draft, if its rates are still those that the simulation showed."""
        card = self.card_or_404(request, card_id)
        form = PublishForm(request.POST)
        if not form.is_valid():
            return self._simulation(request, card, form)
        now, given = timezone.now(), form.cleaned_data
        at = now if given["when"] == "now" else given["at"]
        try:
            with transaction.atomic():
                published = rate_cards.publish(
                    card.pk, seen=given["seen"], by=str(request.user), now=now, at=at
                )
                after = staff_acts.fields_of(published, ["version", "effective_at"])
                self.record(request, published, "publish", after=after)
        except rate_cards.CardNotPublishable as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect("admin:pricing_ratecard_simulation", card.pk)
        self.message_user(request, _("%(card)s was published.") % {"card": published.version})
        return redirect("admin:pricing_ratecard_changelist")
