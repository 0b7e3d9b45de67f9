"""Admin class of accounts. It is defined here and not in accounts, because it shows rows of the ledger."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from unfold.admin import TabularInline
from unfold.decorators import action

from accounts import erasure, viewing
from accounts.admin import KeysOfAccount, MembershipsOfAccount, ProjectsOfAccount
from accounts.admin_forms import AccountChange
from accounts.models import Account, User
from billing.models import Entry, Grant, Wallet
from billing.staff import adjustments, customer
from billing.staff.ledger import CreditColumns
from billing.staff.purchases import ReasonForm
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        """The entries with their grants, which one query of this account reads: it is on one node."""
        rows: QuerySet[Entry] = super().get_queryset(request)
        match = request.resolver_match
        if match is None or "object_id" not in match.kwargs:
            return rows
        grants = Grant.objects.filter(account_id=match.kwargs["object_id"])
        return rows.prefetch_related(Prefetch("grant", grants))


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
    actions_detail = ["customer_link", "credits", "view_as"]
    actions_list = ["find_link"]
    personal_fields = frozenset({"name"})

    def get_urls(self) -> list[URLPattern]:
        view, wrap = self.admin_site.each_context, self.admin_site.admin_view

        def find(request: HttpRequest) -> HttpResponse:
            self._require_view(request)
            return customer.search(request, view(request))

        def page(request: HttpRequest, account_id: UUID) -> HttpResponse:
            self._require_view(request)
            return customer.page(request, account_id, view(request))

        return [
            path("find/", wrap(require_safe(find)), name="accounts_account_find"),
            path(
                "<uuid:account_id>/customer/",
                wrap(require_http_methods(["GET", "HEAD", "POST"])(page)),
                name="accounts_account_customer",
            ),
            path(
                "<uuid:account_id>/end-view/",
                wrap(require_POST(self._end_view)),
                name="accounts_account_end_view",
            ),
            *super().get_urls(),
        ]

    def _end_view(self, request: HttpRequest, account_id: UUID) -> HttpResponse:
        if viewing.end(request.session, now=timezone.now()) is None:
            messages.info(request, _("You do not view a customer."))
        return redirect("admin:accounts_account_customer", account_id)

    @action(description=_("View as customer"), url_path="view-as", permissions=["view_as"])
    def view_as(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account = self.object_or_404(request, object_id)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            assert isinstance(request.user, User)
            terms = {"by": request.user, "reason": form.cleaned_data["reason"], "now": timezone.now()}
            try:
                viewing.begin(request.session, account=account, **terms)
            except viewing.ViewRefused as error:
                form.add_error(None, str(error))
            else:
                return redirect("dashboard")
        context = {
            **self.admin_site.each_context(request),
            "title": _("View the portal as %(account)s") % {"account": account},
            "lines": [
                _("Read-only, for 30 minutes. Keys, secrets, exports and payments are not shown."),
                _("The audit log records it, and the customer's data shows that staff looked."),
            ],
            "form": form,
            "choices": [("view", _("View as customer"))],
            "back": reverse("admin:accounts_account_customer", args=[account.pk]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def has_view_as_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(viewing.PERMISSION)  # type: ignore[union-attr]

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    @action(description=_("Customer"), url_path="customer-page", permissions=["view"])
    def customer_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:accounts_account_customer", self.object_or_404(request, object_id).pk)

    @action(description=_("Find a customer"), url_path="find-customer", permissions=["view"])
    def find_link(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:accounts_account_find")

    @action(description=_("Give or take credits"), url_path="credits", permissions=["credits"])
    def credits(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account = self.object_or_404(request, object_id)
        return adjustments.page(request, account, self.admin_site.each_context(request))

    def has_credits_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return adjustments.may_adjust(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        return (obj is None or obj.erased_at is None) and super().has_change_permission(request, obj)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show that the account was erased after its form was opened."""
        try:
            page: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except erasure.AccountErased as error:
            messages.error(request, str(error))
            return redirect(request.path)
        return page

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        erasure.require_open(obj.pk)
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        return False
