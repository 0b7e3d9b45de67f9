"""Admin classes of services, rate cards and rates, plans, packs and sales.

Invariants: services and texts from the catalogue file are read-only; rates are edited on drafts only, and a
draft is published from its price simulation (see `usage.staff.price_simulation`).
"""

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from core.amounts import plain
from core.staff_admin import ReadOnlyAdmin, StaffAdmin
from pricing.admin_forms import DraftForm
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import export, rate_cards
from pricing.catalogue.file import CatalogueInvalid
from pricing.models import Catalogue, Pack, Plan, Rate, RateCard, Sale, Service
from pricing.rates import presentation
from pricing.rates.rate import Rate as PlainRate
from pricing.rates.rate import lines_from_json, options_from_json
from pricing.staff.offer_pages import OfferPages
from pricing.staff.rate_card_pages import RateCardPages


@admin.register(Catalogue)
class CatalogueAdmin(ReadOnlyAdmin):
    list_display = ["key", "currencies", "loaded_at"]
    exclude = ["rates", "offers"]
    actions_list = ["export"]

    @action(description=_("Export as a file"), url_path="export", permissions=["export"])
    def export(self, request: HttpRequest) -> HttpResponse:
        """The catalogue with the changes of staff, as a file that can be loaded."""
        now = timezone.now()
        try:
            text = export.text(now)
        except CatalogueInvalid as error:
            for problem in error.problems:
                messages.error(request, problem)
            return redirect("admin:pricing_catalogue_changelist")
        name = f"{catalogue_cache.current().key}-{now:%Y-%m-%d}.toml"
        disposition = f'attachment; filename="{name}"'
        return HttpResponse(
            text, content_type="application/toml; charset=utf-8", headers={"Content-Disposition": disposition}
        )

    def has_export_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("pricing.change_ratecard")  # type: ignore[union-attr]


@admin.register(Service)
class ServiceAdmin(ReadOnlyAdmin):
    list_display = ["name", "key", "kind", "modality", "tags", "tier", "origin", "retired_at"]
    list_filter = ["kind", "modality", "tier", "origin", "retired_at"]
    search_fields = ["name", "key", "best_for"]
    ordering = ["position", "key"]


class RateCardAdmin(RateCardPages):
    """Rate cards. Registered by `usage.staff.price_simulation`, which adds pages to simulate and publish."""

    list_display = ["version", "state", "effective_at", "source", "published_at", "published_by"]
    list_filter = ["state"]
    search_fields = ["version", "source", "note"]
    ordering = ["-effective_at", "-published_at"]
    form = DraftForm
    actions = ["withdraw"]

    def get_fields(self, request: HttpRequest, obj: RateCard | None = None) -> list[str]:
        if obj is None:
            return ["effective_at", "note"]
        shown = ["version", "state", "effective_at", "note", "source", "rates_", "problems_"]
        return [*shown, "created_at", "published_at", "published_by"]

    def get_readonly_fields(self, request: HttpRequest, obj: RateCard | None = None) -> list[str]:
        if obj is None:
            return []
        editable = {"effective_at", "note"} if obj.state == RateCard.State.DRAFT else set()
        return [name for name in self.get_fields(request, obj) if name not in editable]

    def has_change_permission(self, request: HttpRequest, obj: RateCard | None = None) -> bool:
        return (obj is None or obj.state == RateCard.State.DRAFT) and super().has_change_permission(
            request, obj
        )

    def has_delete_permission(self, request: HttpRequest, obj: RateCard | None = None) -> bool:
        return (
            obj is not None
            and obj.state == RateCard.State.DRAFT
            and super().has_delete_permission(request, obj)
        )

    def save_model(self, request: HttpRequest, obj: RateCard, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["effective_at", "note"])
            return
        card = rate_cards.copy_in_force(
            effective_at=obj.effective_at, source=str(request.user), now=timezone.now(), note=obj.note
        )
        obj.pk = card.pk
        obj.refresh_from_db()

    def response_add(
        self, request: HttpRequest, obj: RateCard, post_url_continue: str | None = None
    ) -> HttpResponse:
        super().response_add(request, obj, post_url_continue)  # its message
        return redirect("admin:pricing_ratecard_prices", obj.pk)

    @admin.display(description=_("prices"))
    def rates_(self, card: RateCard) -> str:
        link = reverse("admin:pricing_ratecard_prices", args=[card.pk])
        template = _("Edit prices of %(count)s services")
        if card.state != RateCard.State.DRAFT:
            template = _("Show prices of %(count)s services")
        words = template % {"count": card.rates.count()}
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500 underline" href="{}">{}</a>', link, words
        )

    @admin.display(description=_("not imported"))
    def problems_(self, card: RateCard) -> str:
        return format_html_join("", "<div>{}</div>", ((problem,) for problem in card.problems)) or "-"

    @admin.action(description=_("Withdraw before effective date"), permissions=["change"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[RateCard]) -> None:
        for card in queryset:
            try:
                with transaction.atomic():
                    rate_cards.withdraw(card.pk, now=timezone.now())
                    self.record(request, card, "withdraw", before={"version": card.version})
            except rate_cards.CardNotPublishable as error:
                self.message_user(request, f"{card.version}: {error}", messages.ERROR)
            else:
                self.message_user(request, _("%(card)s was withdrawn.") % {"card": card.version})


@admin.register(Rate)
class RateAdmin(StaffAdmin):
    list_display = ["service", "card", "price", "assumed"]
    list_filter = ["card", "assumed"]
    search_fields = ["service__key", "service__name", "card__version"]
    list_select_related = ["service", "card"]
    ordering = ["-card__effective_at", "service__position"]
    actions = None

    @admin.display(description=_("price"))
    def price(self, rate: Rate) -> str:
        stored = PlainRate(
            service=rate.service.key,
            version=rate.card.version,
            effective_at=rate.card.effective_at,
            lines=lines_from_json(rate.lines),
            minimum=rate.minimum,
            multiplier=rate.multiplier,
            cost_of_model=rate.cost_of_model,
            options=options_from_json(rate.options),
        )
        return "; ".join(presentation.price_lines(stored))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Rate | None = None) -> bool:
        return False  # rates are edited on the pages of their card

    def has_delete_permission(self, request: HttpRequest, obj: Rate | None = None) -> bool:
        draft = obj is not None and obj.card.state == RateCard.State.DRAFT
        return draft and super().has_delete_permission(request, obj)


class PlanAdmin(OfferPages):
    """Plans. Registered by `billing.staff.plans`, which says what a change means for members."""

    list_display = ["name", "key", "rank", "free", "legacy", "carry_over", "retired_at"]
    list_filter = ["free", "legacy", "retired_at"]
    ordering = ["position"]
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return False


@admin.register(Pack)
class PackAdmin(OfferPages):
    list_display = ["name", "key", "credits_", "prices", "popular", "paid_plans_only", "retired_at"]
    list_filter = ["retired_at"]
    ordering = ["position"]
    actions = None

    @admin.display(description=_("credits"), ordering="credits")
    def credits_(self, pack: Pack) -> str:
        return plain(pack.credits)

    def has_delete_permission(self, request: HttpRequest, obj: Pack | None = None) -> bool:
        return False


@admin.register(Sale)
class SaleAdmin(OfferPages):
    """Sales. One that is over stays as it was."""

    list_display = ["label", "pack", "prices", "starts_at", "ends_at"]
    ordering = ["-starts_at"]
    actions = ["end_now"]

    def has_change_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        over = obj is not None and obj.ends_at <= timezone.now()
        return not over and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        return False

    @admin.action(description=_("End sale now"), permissions=["change"])
    def end_now(self, request: HttpRequest, queryset: QuerySet[Sale]) -> None:
        now = timezone.now()
        with transaction.atomic():
            running = queryset.filter(starts_at__lt=now, ends_at__gt=now)
            for sale in running:
                self.record(
                    request, sale, "end_now", before={"ends_at": sale.ends_at}, after={"ends_at": now}
                )
            ended = running.update(ends_at=now)
        catalogue_cache.changed()
        self.message_user(request, _("Ended: %(count)s.") % {"count": ended})
