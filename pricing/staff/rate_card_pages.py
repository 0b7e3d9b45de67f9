"""Pages of the admin for the prices of a rate card: the table, one rate, the copy of an earlier card.

Invariants: prices of drafts only are changed, each change is recorded with what was and what is; a stale form
changes nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from core.staff_admin import StaffAdmin
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import differences, drafts, rate_rows
from pricing.catalogue.cache import ServiceFacts
from pricing.catalogue.differences import Difference
from pricing.catalogue.drafts import Change
from pricing.catalogue.rate_cards import Row
from pricing.models import RateCard
from pricing.staff.rate_forms import PricesForm, RateForm

SERVICES_ON_A_PAGE = 30  # Django takes 1000 fields of a form


def differences_of(card: RateCard, now: datetime) -> list[Difference]:
    """How the card's rates differ from those in force."""
    catalogue = catalogue_cache.current()
    present = catalogue.card_at(now)
    old = catalogue.rates(present) if present else {}
    return differences.between(old, catalogue_cache.rates_of(card.pk), catalogue.services)


class RateCardPages(StaffAdmin):
    """The admin of rate cards, with pages to edit the prices of drafts."""

    def get_urls(self) -> list[URLPattern]:
        def page(pattern: str, view: Any, name: str) -> Any:
            return path(pattern, self.admin_site.admin_view(view), name=f"pricing_ratecard_{name}")

        both = require_http_methods(["GET", "HEAD", "POST"])
        return [
            page("<uuid:card_id>/prices/", both(self.prices), "prices"),
            page("<uuid:card_id>/prices/<str:service>/", both(self.rate), "rate"),
            page("<uuid:card_id>/copy/", require_POST(self.copy), "copy"),
            *super().get_urls(),
        ]

    def prices(self, request: HttpRequest, card_id: UUID) -> HttpResponse:
        """The services of a card with their prices, which a draft's page changes."""
        card = self.card_or_404(request, card_id)
        rows = drafts.rows(card)
        services = _services(rows, request.GET.get("q", ""))
        pages = Paginator(services, SERVICES_ON_A_PAGE)
        shown = pages.get_page(request.GET.get("page"))
        form = PricesForm(request.POST or None, services=list(shown), rows=rows)
        if request.method == "POST":
            self._require_draft(request, card)
            if form.is_valid():
                try:
                    changed = self._change(request, card, form.changes())
                except drafts.RatesInvalid as error:
                    form.add_invalid(error.by_service)
                except drafts.DraftChanged as error:
                    messages.error(request, str(error))
                    form = PricesForm(request.POST, services=list(shown), rows=drafts.rows(card))
                    form = form.present(request.POST, error.services)
                else:
                    self._say(request, changed)
                    return redirect(request.get_full_path())
        return self._page(request, card, "prices", form=form, shown=shown, pages=pages)

    def rate(self, request: HttpRequest, card_id: UUID, service: str) -> HttpResponse:
        """One rate of a draft with all its fields."""
        card = self.card_or_404(request, card_id)
        facts = catalogue_cache.current().services.get(service)
        if facts is None:
            raise Http404
        self._require_draft(request, card)
        form = RateForm(request.POST or None, row=drafts.rows(card).get(service))
        if request.method == "POST" and form.is_valid():
            try:
                changed = self._change(request, card, {service: form.change()})
            except drafts.RatesInvalid as error:
                form.add_invalid(error.by_service[service])
            except drafts.DraftChanged as error:
                messages.error(request, str(error))
                return redirect("admin:pricing_ratecard_rate", card.pk, service)
            else:
                self._say(request, changed)
                return redirect("admin:pricing_ratecard_prices", card.pk)
        return self._page(request, card, "rate", form=form, service=facts)

    def copy(self, request: HttpRequest, card_id: UUID) -> HttpResponse:
        """Return to the prices of an earlier card, as a new draft."""
        card = self.card_or_404(request, card_id)
        if not self.has_add_permission(request):
            raise PermissionDenied
        if card.state == RateCard.State.DRAFT:
            raise Http404
        with transaction.atomic():
            draft = drafts.roll_back(card.pk, source=str(request.user), now=timezone.now())
            self.record(request, draft, "roll_back", after={"version": draft.version, "as": card.version})
        messages.success(
            request,
            _("%(draft)s is a draft with the prices of %(card)s.")
            % {"draft": draft.version, "card": card.version},
        )
        return redirect("admin:pricing_ratecard_prices", draft.pk)

    def _change(
        self, request: HttpRequest, card: RateCard, changes: Mapping[str, Change]
    ) -> Mapping[str, Row | None]:
        with transaction.atomic():
            before, after = drafts.change(card.pk, changes)
            if after:
                self.record(request, card, "change_rates", before=_recorded(before), after=_recorded(after))
        return after

    def _say(self, request: HttpRequest, changed: Mapping[str, Row | None]) -> None:
        if changed:
            messages.success(request, _("Saved: %(services)s.") % {"services": ", ".join(changed)})
        else:
            messages.info(request, _("Nothing was changed."))

    def card_or_404(self, request: HttpRequest, card_id: UUID) -> RateCard:
        """The card of a page. Raises PermissionDenied, Http404."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        card = RateCard.objects.filter(pk=card_id).first()
        if card is None:
            raise Http404
        return card

    def _require_draft(self, request: HttpRequest, card: RateCard) -> None:
        if card.state != RateCard.State.DRAFT:
            raise PermissionDenied

    def _page(self, request: HttpRequest, card: RateCard, name: str, **more: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Prices of %(card)s") % {"card": card.version},
            "card": card,
            "draft": card.state == RateCard.State.DRAFT,
            "differences": differences_of(card, timezone.now()),
            "may_copy": self.has_add_permission(request),
            "opts": self.opts,
            "back": reverse("admin:pricing_ratecard_prices", args=[card.pk]),
            **more,
        }
        return TemplateResponse(request, f"admin/pricing/card_{name}.html", context)


def _services(rows: Mapping[str, Row], words: str) -> list[ServiceFacts]:
    """The services that a card may price, those whose name or key has the words."""
    sought = words.strip().lower()
    return [
        facts
        for facts in catalogue_cache.current().services.values()
        if (facts.key in rows or not facts.retired)
        and (sought in facts.key.lower() or sought in facts.name.lower())
    ]


def _recorded(rows: Mapping[str, Row | None]) -> dict[str, Any]:
    """A list, because the audit log takes a key such as "tokens" for the name of a secret."""
    return {
        "rates": [
            rate_rows.as_text(row) if row else {"service": key, "price": None} for key, row in rows.items()
        ]
    }
