"""The admin of rate cards: price simulation of a card, and publishing a draft from there.

Invariant: only staff who may change rate cards can simulate or publish; a draft is published only with the
rates that the simulation showed.
"""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
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
from usage.repricing import price_simulation


class DaysForm(forms.Form):
    days = forms.IntegerField(label=_("Days"), min_value=1, max_value=90, initial=14)


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
        return format_html('<a class="text-primary-600 underline" href="{}">{}</a>', link, text)

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
        card = self._card(request, card_id)
        now = timezone.now()
        form = DaysForm(request.GET or None)
        days = form.cleaned_data["days"] if form.is_valid() else DaysForm.base_fields["days"].initial
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("Price simulation of %(card)s") % {"card": card.version},
            "card": card,
            "form": form,
            "days": days,
            "simulation": price_simulation.simulate(card, days=days, now=now),
            "reasons": rate_cards.reasons_against(card),
            "coming": rate_cards.coming_after(card, now),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/pricing/price_simulation.html", context)

    def publish(self, request: HttpRequest, card_id: UUID) -> HttpResponse:
        """Publish the draft, if its rates are still those that the simulation showed."""
        card = self._card(request, card_id)
        try:
            with transaction.atomic():
                rate_cards.publish(
                    card.pk, seen=request.POST.get("seen", ""), by=str(request.user), now=timezone.now()
                )
                self.record(
                    request, card, "publish", after=staff_acts.fields_of(card, ["version", "effective_at"])
                )
        except rate_cards.CardNotPublishable as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect("admin:pricing_ratecard_simulation", card.pk)
        self.message_user(request, _("%(card)s was published.") % {"card": card.version})
        return redirect("admin:pricing_ratecard_changelist")

    def _card(self, request: HttpRequest, card_id: UUID) -> RateCard:
        if not self.has_change_permission(request):
            raise PermissionDenied
        card = RateCard.objects.filter(pk=card_id).first()
        if card is None:
            raise Http404
        return card
