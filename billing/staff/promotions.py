"""Admin classes of promotions, redemptions and referrals.

Invariant: a promotion that was redeemed cannot be deleted; redemptions and referrals are shown and not
edited.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from billing.models import Promotion, Redemption, Referral
from core.staff_admin import ReadOnlyAdmin, StaffAdmin


@admin.register(Promotion)
class PromotionAdmin(StaffAdmin):
    list_display = ["code", "label", "gives", "credits", "percent_off", "starts_at", "ends_at", "redeemed"]
    list_filter = ["gives", "from_catalogue"]
    search_fields = ["code", "label"]
    ordering = ["-starts_at"]
    readonly_fields = ["redeemed", "from_catalogue"]

    def save_model(self, request: HttpRequest, obj: Promotion, form: Any, change: bool) -> None:
        obj.code = obj.code.strip().upper()
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Promotion | None = None) -> bool:
        return obj is not None and obj.redeemed == 0 and super().has_delete_permission(request, obj)


@admin.register(Redemption)
class RedemptionAdmin(ReadOnlyAdmin):
    list_display = ["promotion", "account", "credits", "purchase", "created_at", "released_at"]
    list_select_related = ["promotion", "account", "purchase"]
    search_fields = ["promotion__code", "account__name"]
    ordering = ["-created_at"]


@admin.register(Referral)
class ReferralAdmin(ReadOnlyAdmin):
    list_display = ["inviter", "invited", "state", "created_at", "rewarded_at"]
    list_select_related = ["inviter", "invited"]
    list_filter = ["state"]
    ordering = ["-created_at"]
