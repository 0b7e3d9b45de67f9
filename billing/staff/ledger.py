"""The ledger in the admin: for looking, never for touching.

Invariant: wallets, grants, entries and charges can be neither added, changed nor deleted here, by nobody.
Corrections are new movements, made by billing.ledger.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts.admin import AccountAdmin
from billing.models import Charge, Entry, Grant, Wallet
from core.amounts import plain
from core.staff_admin import LongReadOnlyAdmin, ReadOnlyInline


def _amount(name: str, title: Any) -> Any:
    """A column of credits without trailing zeros."""

    @admin.display(description=title, ordering=name)
    def column(_self: Any, row: Any) -> str:
        return plain(getattr(row, name))

    return column


class Amounts:
    """Columns of credits, written plainly, for every table that has them."""

    credits_ = _amount("credits", _("credits"))
    remaining_ = _amount("remaining", _("remaining"))
    held_ = _amount("held", _("held"))
    balance_ = _amount("balance", _("balance"))
    debt_ = _amount("debt", _("debt"))
    balance_after_ = _amount("balance_after", _("balance after"))


class WalletOfAccount(Amounts, ReadOnlyInline):
    model = Wallet
    fields = readonly_fields = ["balance_", "held_", "debt_", "next_due_at"]
    verbose_name_plural = _("Wallet")


class GrantsOfAccount(Amounts, ReadOnlyInline):
    model = Grant
    fields = readonly_fields = ["label", "kind", "credits_", "remaining_", "expires_at", "created_at"]
    verbose_name_plural = _("Newest grants")


class EntriesOfAccount(Amounts, ReadOnlyInline):
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


AccountAdmin.inlines += [WalletOfAccount, GrantsOfAccount, EntriesOfAccount]


class OfAccount(Amounts, LongReadOnlyAdmin):
    """A table of the ledger: found by its account, shown newest first."""

    search_fields = ["account__name", "account__external_id", "account__memberships__user__email"]
    search_help_text = _("Account, external id, a member's address, or a whole id")
    list_select_related = ["account"]
    ordering = ["-pk"]

    @admin.display(description=_("account"))
    def account_(self, row: Any) -> str:
        link = reverse("admin:accounts_account_change", args=[row.account_id])
        return format_html('<a href="{}">{}</a>', link, row.account)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [
            field.name
            for field in self.model._meta.fields
            if field.name not in {"hash", "head", "fingerprint"}
        ]


@admin.register(Wallet)
class WalletAdmin(OfAccount):
    list_display = ["account_", "balance_", "held_", "debt_", "seq", "next_due_at"]


@admin.register(Grant)
class GrantAdmin(OfAccount):
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
class EntryAdmin(OfAccount):
    list_display = ["created_at", "account_", "kind", "credits_", "balance_after_", "reason", "actor"]
    list_filter = ["kind"]


@admin.register(Charge)
class ChargeAdmin(OfAccount):
    list_display = ["public_id", "account_", "service", "credits_", "covered_by", "status", "created_at"]
    list_filter = ["covered_by"]
    search_fields = [*OfAccount.search_fields, "=idempotency_key", "=conversation"]
