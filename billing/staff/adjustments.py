"""Credits from the admin: give or take them on an account's page, and decide the requests of others.

Invariants: the rules are in `billing.adjustments`; a form that is sent twice acts once, by its token.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.models import Account, User
from billing import adjustments, ledger
from billing.models import CreditAdjustment
from core import amounts
from core.staff_admin import ReadOnlyAdmin
from core.templatetags.credits import credits

GIVE, TAKE = "give", "take"
_PLACES = 6


class AdjustmentForm(forms.Form):
    """How many credits, in which direction, and why."""

    direction = forms.ChoiceField(
        label=_("What to do"),
        choices=[(GIVE, _("Give credits")), (TAKE, _("Take credits"))],
        widget=UnfoldAdminRadioSelectWidget,
    )
    amount = forms.CharField(
        label=_("Credits"),
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text=_("Such as 250 or 2.5."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("The customer sees it in the history of the account."),
    )
    token = forms.UUIDField(widget=forms.HiddenInput)

    def clean_amount(self) -> Decimal:
        text: str = self.cleaned_data["amount"].strip()
        if "," in text:
            raise forms.ValidationError(
                _("Write a point before decimals and nothing between thousands, such as 1250.5.")
            )
        if text.startswith(("-", "−", "+")):
            raise forms.ValidationError(_("Enter the amount without a sign, and choose to give or to take."))
        whole, _point, decimals = text.partition(".")
        if whole.isdecimal() and decimals.isdecimal() and len(decimals) > _PLACES:
            raise forms.ValidationError(_("Credits have at most six decimals."))
        amount = amounts.parse(text)
        if amount is None:
            raise forms.ValidationError(
                _("“%(given)s” is not a valid amount. Enter credits above zero, such as 250 or 2.5."),
                params={"given": text},
            )
        if amount == 0:
            raise forms.ValidationError(_("Enter an amount above zero."))
        if amount > amounts.LARGEST:
            raise forms.ValidationError(
                _("The largest amount is %(largest)s credits."),
                params={"largest": amounts.plain(amounts.LARGEST)},
            )
        return amount

    @property
    def credits(self) -> Decimal:
        """Positive to give, negative to take."""
        amount: Decimal = self.cleaned_data["amount"]
        return amount if self.cleaned_data["direction"] == GIVE else -amount


class DecisionForm(forms.Form):
    """Why; required to refuse."""

    reason = forms.CharField(
        label=_("Reason"), required=False, max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


def may_adjust(request: HttpRequest) -> bool:
    return request.user.has_perm("billing.add_creditadjustment")  # type: ignore[union-attr]


def page(request: HttpRequest, account: Account, context: dict[str, Any]) -> HttpResponse:
    """The form on an account's page. The caller has checked `may_adjust`."""
    assert isinstance(request.user, User)
    form = AdjustmentForm(request.POST or None, initial={"token": uuid4()})
    back = reverse("admin:accounts_account_change", args=[account.pk])
    if request.method == "POST" and form.is_valid():
        try:
            adjustment = adjustments.make(
                account=account,
                credits=form.credits,
                reason=form.cleaned_data["reason"],
                token=UUID(str(form.cleaned_data["token"])),
                by=request.user,
                now=timezone.now(),
            )
        except adjustments.AdjustmentRefused as error:
            form.add_error(error.field or None, str(error))
        else:
            if adjustment.status == CreditAdjustment.Status.APPLIED:
                messages.success(request, _("The balance was adjusted."))
            else:
                messages.warning(request, _("Requested. Another person has to approve it."))
            return redirect(back)
    balance = ledger.balance(account.pk, timezone.now())
    context |= {
        "title": _("Credits of %(account)s") % {"account": account},
        "lines": [
            _("Balance: %(balance)s. Debt: %(debt)s. New credits repay the debt first.")
            % {"balance": credits(balance.total), "debt": credits(balance.debt)},
            _("Without approval one person may move %(most)s credits within 24 hours.")
            % {"most": credits(adjustments.threshold())},
        ],
        "form": form,
        "choices": [("adjust", _("Adjust balance"))],
        "back": back,
    }
    return render(request, "admin/billing/confirm_action.html", context)


@admin.register(CreditAdjustment)
class CreditAdjustmentAdmin(ReadOnlyAdmin):
    """Adjustments and requests; they are made on the page of an account."""

    list_display = ["created_at", "account", "credits_", "status_", "requested_by", "decided_by", "reason"]
    list_filter = ["status", "needs_approval", "created_at"]
    list_select_related = ["account", "requested_by", "decided_by"]
    search_fields = ["account__name", "account__external_id", "requested_by__email", "reason"]
    ordering = ["-created_at"]
    exclude = ["token"]
    actions_detail = ["decide"]

    @admin.display(description=_("credits"), ordering="credits")
    def credits_(self, adjustment: CreditAdjustment) -> str:
        return credits(adjustment.credits)

    @admin.display(description=_("status"), ordering="status")
    def status_(self, adjustment: CreditAdjustment) -> str:
        requested = adjustment.status == CreditAdjustment.Status.REQUESTED
        if requested and not adjustment.is_open(timezone.now()):
            return str(_("Expired"))
        return adjustment.get_status_display()

    def refusal(self, row: CreditAdjustment, name: str) -> str:
        if name != "decide":
            return ""
        if row.status != CreditAdjustment.Status.REQUESTED:
            return gettext("This request was already decided.")
        return "" if row.is_open(timezone.now()) else gettext("This request has expired. Make a new one.")

    @action(description=_("Approve or refuse"), url_path="decide", permissions=["decide"])
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        assert isinstance(request.user, User)
        adjustment = self.object_or_404(request, object_id)
        if answer := self.refused(request, adjustment, "decide"):
            return answer
        own = adjustment.requested_by_id == request.user.pk
        form = DecisionForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and self._decide(request, adjustment, form):
            return redirect("admin:billing_creditadjustment_change", object_id)
        choices = [("refuse", _("Withdraw request") if own else _("Refuse"))]
        may_approve = not own and request.user.has_perm(adjustments.APPROVE)
        balance = ledger.balance(adjustment.account_id, timezone.now())
        context = {
            **self.admin_site.each_context(request),
            "title": _("Adjustment of %(credits)s credits") % {"credits": self.credits_(adjustment)},
            "lines": [
                str(adjustment.account),
                adjustment.reason,
                _("Requested by %(person)s. Balance now: %(balance)s.")
                % {"person": adjustment.requested_by, "balance": credits(balance.total)},
                *([_("Nobody approves their own request. Ask another person.")] if own else []),
            ],
            "form": form,
            "choices": [*([("approve", _("Approve"))] if may_approve else []), *choices],
            "back": reverse("admin:billing_creditadjustment_change", args=[object_id]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def _decide(self, request: HttpRequest, adjustment: CreditAdjustment, form: DecisionForm) -> bool:
        """Carry out the choice. False when the form has an error."""
        by, now, reason = request.user, timezone.now(), form.cleaned_data["reason"]
        assert isinstance(by, User)
        choice = request.POST.get("choice")
        if choice == "refuse" and not reason:
            form.add_error("reason", _("Enter a reason."))
            return False
        try:
            if choice == "approve":
                adjustments.approve(adjustment, by=by, now=now)
                messages.success(request, _("Approved. The balance was adjusted."))
            elif choice == "refuse":
                adjustments.refuse(adjustment, by=by, reason=reason, now=now)
                messages.success(request, _("The request was closed. Nothing was changed."))
        except adjustments.AdjustmentRefused as error:
            messages.error(request, str(error))
        return True

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Those who may approve decide on the requests of others; everybody withdraws their own."""
        if request.user.has_perm(adjustments.APPROVE):  # type: ignore[union-attr]
            return True
        own = CreditAdjustment.objects.filter(requested_by=request.user.pk)
        return may_adjust(request) and object_id is not None and own.filter(pk=object_id).exists()
