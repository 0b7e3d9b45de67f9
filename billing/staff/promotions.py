"""Admin classes of promotions, redemptions and referrals.

Invariant: a promotion that was redeemed cannot be deleted; redemptions and referrals are shown and not
edited; what staff save can be redeemed and spent: the code as users enter it, an interval that `validity`
reads, services, packs and plans that exist. Codes for one use are shown to those with the permission only.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter, ValidationError
from unfold.decorators import action

from billing.models import Promotion, Redemption, Referral
from billing.promotions import redemption, single_use_codes
from billing.staff import promotion_codes, promotion_trial
from core.staff_admin import ReadOnlyAdmin, StaffAdmin
from pricing import selectors
from pricing.catalogue.policies import Lasting
from pricing.models import Pack, Plan

_LASTING: TypeAdapter[str] = TypeAdapter(Lasting)


class PromotionForm(forms.ModelForm):
    """A promotion code. Codes are stored in upper case, in which they are looked up."""

    class Meta:
        model = Promotion
        fields = [
            *("code", "single_use", "label", "gives", "credits", "services", "lasts", "percent_off"),
            *("packs", "plans", "starts_at", "ends_at", "total_limit", "per_account"),
        ]

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"].strip().upper()
        if not redemption.is_code(code):
            raise forms.ValidationError(_("Use letters without accents, digits and signs."))
        if single_use_codes.exists(code):
            raise forms.ValidationError(_("A code for one use has this spelling. Choose another code."))
        return code

    def clean_lasts(self) -> str:
        try:
            return _LASTING.validate_python(self.cleaned_data["lasts"].strip())
        except ValidationError:
            message = _("Enter “forever”, or an interval such as “30 days” or “1 year”.")
            raise forms.ValidationError(message) from None

    def clean_services(self) -> list[str] | None:
        """Credits for services that do not exist could never be spent."""
        return self._of("services", selectors.scopes(), str(_("There is no service or tag %(name)s.")))

    def clean_packs(self) -> list[str] | None:
        known = set(Pack.objects.values_list("key", flat=True))
        return self._of("packs", known, str(_("There is no pack %(name)s.")))

    def clean_plans(self) -> list[str] | None:
        known = set(Plan.objects.values_list("key", flat=True))
        return self._of("plans", known, str(_("There is no plan %(name)s.")))

    def _of(self, field: str, known: set[str], message: str) -> list[str] | None:
        names: list[str] | None = self.cleaned_data[field]
        for name in names or []:
            if name not in known:
                raise forms.ValidationError(message % {"name": f"“{name}”"})
        return names

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        starts_at, ends_at = data.get("starts_at"), data.get("ends_at")
        if starts_at and ends_at and starts_at >= ends_at:
            self.add_error("ends_at", _("The end is not after the start. Choose a later date."))
        return data


@admin.register(Promotion)
class PromotionAdmin(StaffAdmin):
    list_display = ["code", "label", "gives", "credits", "percent_off", "starts_at", "ends_at", "redeemed"]
    list_filter = ["gives", "from_catalogue"]
    search_fields = ["code", "label"]
    ordering = ["-starts_at"]
    readonly_fields = ["redeemed", "from_catalogue"]
    form = PromotionForm
    actions_detail = ["trial", "codes", "import_codes"]

    @action(description=_("Try"), url_path="trial", permissions=["view"])
    def trial(self, request: HttpRequest, object_id: str) -> HttpResponse:
        promotion = self.object_or_404(request, object_id)
        return promotion_trial.page(request, promotion, self.admin_site.each_context(request))

    @action(description=_("Codes for one use"), url_path="codes", permissions=["codes"])
    def codes(self, request: HttpRequest, object_id: str) -> HttpResponse:
        promotion = self.object_or_404(request, object_id)
        return promotion_codes.page(request, promotion, self.admin_site.each_context(request))

    @action(description=_("Import codes"), url_path="import-codes", permissions=["import_codes"])
    def import_codes(self, request: HttpRequest, object_id: str) -> HttpResponse:
        promotion = self.object_or_404(request, object_id)
        return promotion_codes.import_page(request, promotion, self.admin_site.each_context(request))

    def has_codes_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(promotion_codes.SEE)  # type: ignore[union-attr]

    def has_import_codes_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(promotion_codes.ADD)  # type: ignore[union-attr]

    def has_delete_permission(self, request: HttpRequest, obj: Promotion | None = None) -> bool:
        return obj is not None and obj.redeemed == 0 and super().has_delete_permission(request, obj)


@admin.register(Redemption)
class RedemptionAdmin(ReadOnlyAdmin):
    list_display = ["promotion", "account", "credits", "purchase", "created_at", "released_at"]
    list_select_related = ["promotion", "account", "purchase"]
    search_fields = ["promotion__code", "account__name"]
    exclude = ["single_use_code"]  # it is valid again when its purchase is cancelled
    ordering = ["-created_at"]


@admin.register(Referral)
class ReferralAdmin(ReadOnlyAdmin):
    list_display = ["inviter", "invited", "state", "created_at", "rewarded_at"]
    list_select_related = ["inviter", "invited"]
    list_filter = ["state"]
    ordering = ["-created_at"]
