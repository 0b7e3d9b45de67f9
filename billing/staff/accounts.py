"""Admin class of accounts. It is defined here and not in accounts, because it shows rows of the ledger."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action

from accounts.admin import KeysOfAccount, MembershipsOfAccount, ProjectsOfAccount
from accounts.admin_forms import AccountChange
from accounts.models import Account
from billing.models import Entry, Grant, Wallet
from billing.staff import adjustments
from billing.staff.ledger import CreditColumns
from core.staff_admin import ReadOnlyInline, StaffAdmin


class WalletOfAccount(CreditColumns, ReadOnlyInline):
    model = Wallet
    fields = readonly_fields = ["balance_", "held_", "debt_", "next_due_at"]
    verbose_name_plural = _("Wallet")


class GrantsOfAccount(CreditColumns, ReadOnlyInline):
    model = Grant
    fields = readonly_fields = ["label", "kind", "credits_", "remaining_", "expires_at", "created_at"]
    verbose_name_plural = _("Newest grants")


class EntriesOfAccount(CreditColumns, ReadOnlyInline):
    model = Entry
    fields = readonly_fields = [
        "created_at",
        "kind",
        "grant",
        "credits_",
        "balance_after_",
        "reason",
        "actor",
    ]
    verbose_name_plural = _("Newest entries")


@admin.register(Account)
class AccountAdmin(StaffAdmin):
    """An account with its members, keys and projects, and its rows of the ledger."""

    form = AccountChange
    list_display = ["name", "public_id", "kind", "external_id", "zone", "created_at", "erased_at"]
    list_filter = ["kind"]
    search_fields = ["name", "external_id", "memberships__user__email"]
    ordering = ["-created_at"]
    readonly_fields = ["public_id", "kind", "person", "created_at", "erased_at", "on_wall"]
    fieldsets = [
        (None, {"fields": ["name", "public_id", "kind", "person", "external_id", "zone", "on_wall"]}),
        (_("Dates"), {"fields": ["created_at", "erased_at"]}),
    ]
    inlines: list[type[TabularInline]] = [
        MembershipsOfAccount,
        KeysOfAccount,
        ProjectsOfAccount,
        WalletOfAccount,
        GrantsOfAccount,
        EntriesOfAccount,
    ]
    actions = None
    actions_detail = ["credits"]
    personal_fields = frozenset({"name"})

    @action(description=_("Give or take credits"), url_path="credits", permissions=["credits"])
    def credits(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account = self.object_or_404(request, object_id)
        return adjustments.page(request, account, self.admin_site.each_context(request))

    def has_credits_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return adjustments.may_adjust(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        return False
