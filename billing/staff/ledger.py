"""Admin classes of the ledger.

Invariant: wallets, grants, entries and charges cannot be added, changed or deleted here, whatever the
permissions. Corrections are new entries, written by billing.ledger.
"""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from billing.models import Charge, Entry, Grant, Wallet
from core.amounts import plain
from core.staff_admin import LongReadOnlyAdmin


def _credits_column(name: str, title: Any) -> Any:
    """A column of credits without trailing zeros."""

    @admin.display(description=title, ordering=name)
    def column(_self: Any, record: Any) -> str:
        return plain(getattr(record, name))

    return column


class CreditColumns:
    """Columns of credits without trailing zeros, shared by the tables of the ledger."""

    credits_ = _credits_column("credits", _("credits"))
    remaining_ = _credits_column("remaining", _("remaining"))
    held_ = _credits_column("held", _("held"))
    balance_ = _credits_column("balance", _("balance"))
    debt_ = _credits_column("debt", _("debt"))
    balance_after_ = _credits_column("balance_after", _("balance after"))


class LedgerAdmin(CreditColumns, LongReadOnlyAdmin):
    """A table of the ledger, searched by account and listed newest first."""

    search_fields = ["account__name", "account__external_id", "account__memberships__user__email"]
    search_help_text = _("Account name, external id, a member's e-mail address, or a full id")
    list_select_related = ["account"]
    ordering = ["-pk"]

    @admin.display(description=_("account"))
    def account_(self, record: Any) -> str:
        link = reverse("admin:accounts_account_change", args=[record.account_id])
        return format_html('<a href="{}">{}</a>', link, record.account)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [
            field.name
            for field in self.model._meta.fields
            if field.name not in {"hash", "head", "fingerprint"}
        ]


@admin.register(Wallet)
class WalletAdmin(LedgerAdmin):
    list_display = ["account_", "balance_", "held_", "debt_", "seq", "next_due_at"]


@admin.register(Grant)
class GrantAdmin(LedgerAdmin):
    list_display = [
        "public_id",
        "account_",
        "kind",
        "label",
        "credits_",
        "remaining_",
        "expires_at",
        "created_at",
    ]
    list_filter = ["kind", "open"]


@admin.register(Entry)
class EntryAdmin(LedgerAdmin):
    list_display = ["created_at", "account_", "kind", "credits_", "balance_after_", "reason", "actor"]
    list_filter = ["kind"]


class CoveredBy(admin.SimpleListFilter):
    """Charges by what covered them. Django's own filter reads all charges to find the values."""

    title = _("covered by")
    parameter_name = "covered_by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("unlimited", _("unlimited")), ("own_key", _("own key"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Charge]) -> QuerySet[Charge]:
        return queryset.filter(covered_by=self.value()) if self.value() else queryset


@admin.register(Charge)
class ChargeAdmin(LedgerAdmin):
    list_display = ["public_id", "account_", "service", "credits_", "covered_by", "status", "created_at"]
    list_filter = [CoveredBy]
    search_fields = [*LedgerAdmin.search_fields, "=idempotency_key", "=conversation"]
