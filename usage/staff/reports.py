"""The admin of charge reports: open reports first; staff answer and may return credits.

Invariants: a report is answered once, through `usage.charges.reports`; its text is never changed; staff
without the permission to change reports can only read them.
"""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.models import User
from billing import ledger
from billing.models import Charge
from core import amounts
from core.staff_admin import StaffAdmin
from core.templatetags.credits import plural_number
from usage.charges import reports
from usage.models import ChargeReport

NOTHING, ALL, PART = "nothing", "all", "part"


class AnswerForm(forms.ModelForm):
    """The answer to the user, and the credits to return."""

    answer = forms.CharField(
        label=_("Answer"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget,
        help_text=_("Shown to the user on the charge page and sent by e-mail."),
        error_messages={"required": _("Enter an answer. It is shown to the user and stored in the ledger.")},
    )
    return_credits = forms.ChoiceField(
        label=_("Credits"),
        choices=[
            (NOTHING, _("Return no credits")),
            (ALL, _("Return all remaining credits of the charge")),
            (PART, _("Return some credits")),
        ],
        initial=NOTHING,
        widget=UnfoldAdminRadioSelectWidget,
    )
    part = forms.CharField(
        label=_("Credits to return"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Such as 5.5. Only with “Return some credits”."),
    )

    class Meta:
        model = ChargeReport
        fields: list[str] = []

    def clean_part(self) -> Decimal | None:
        text = self.cleaned_data["part"].strip()
        if self.cleaned_data.get("return_credits") != PART:
            if text:
                raise forms.ValidationError(_("Choose “Return some credits”, or leave this empty."))
            return None
        part = amounts.parse(text)
        if not part:
            raise forms.ValidationError(
                _("“%(given)s” is not a valid amount. Enter credits above zero, such as 5.5."),
                params={"given": text},
            )
        return part


@admin.register(ChargeReport)
class ReportAdmin(StaffAdmin):
    list_display = ["public_id", "status", "account", "reason_", "reporter", "created_at", "answered_by"]
    list_filter = ["status"]
    list_select_related = ["account", "reporter", "answered_by"]
    search_fields = ["account__name", "reporter__email", "=charge_id"]
    search_help_text = _("Account name, reporter's e-mail address, or charge id")
    actions = None
    report_fields = ["account", "charge_", "reporter", "reason", "created_at", "status"]
    answer_fields = ["answer", "answered_by", "answered_at"]
    form = AnswerForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChargeReport]:
        """Open reports first, then the newest."""
        open_first = Case(When(status=ChargeReport.Status.OPEN, then=Value(0)), default=Value(1))
        found: QuerySet[ChargeReport] = super().get_queryset(request)
        return found.order_by(open_first, "-created_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ChargeReport | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and (obj is None or obj.status == ChargeReport.Status.OPEN)

    def get_fields(self, request: HttpRequest, obj: ChargeReport | None = None) -> list[str]:
        can_answer = obj is not None and self.has_change_permission(request, obj)
        form_fields = ["answer", "return_credits", "part"]
        return [*self.report_fields, *(form_fields if can_answer else self.answer_fields)]

    def get_readonly_fields(self, request: HttpRequest, obj: ChargeReport | None = None) -> list[str]:
        return [name for name in self.get_fields(request, obj) if name not in AnswerForm.base_fields]

    @admin.display(description=_("reason"))
    def reason_(self, report: ChargeReport) -> str:
        return report.reason if len(report.reason) <= 80 else report.reason[:79] + "…"

    @admin.display(description=_("charge"))
    def charge_(self, report: ChargeReport) -> str:
        charge = Charge.objects.filter(account_id=report.account_id, pk=report.charge_id).first()
        if charge is None:
            return "–"
        return format_html(
            '<a href="{}">{}</a>: {} · {} · {}',
            reverse("admin:billing_charge_change", args=[charge.pk]),
            charge.public_id,
            charge.service,
            ngettext(
                "%(credits)s credit, %(returned)s returned",
                "%(credits)s credits, %(returned)s returned",
                plural_number(charge.credits),
            )
            % {"credits": amounts.plain(charge.credits), "returned": amounts.plain(charge.returned)},
            timezone.localtime(charge.created_at).strftime("%Y-%m-%d %H:%M:%S %Z"),
        )

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show an error when the report is already answered or the credits exceed the charge."""
        try:
            page: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except reports.AlreadyAnswered as error:
            self.message_user(request, str(error), messages.ERROR)
        except ledger.NotReversible as error:
            figures = {"asked": amounts.plain(error.asked), "left": amounts.plain(error.left)}
            text = ngettext(
                "Answer not saved: %(asked)s credit cannot be returned. Left of the charge: %(left)s.",
                "Answer not saved: %(asked)s credits cannot be returned. Left of the charge: %(left)s.",
                plural_number(error.asked),
            )
            self.message_user(request, text % figures, messages.ERROR)
        else:
            return page
        return redirect(request.path)

    def save_model(self, request: HttpRequest, obj: ChargeReport, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)
        choice = form.cleaned_data["return_credits"]
        reports.answer(
            obj.pk,
            text=form.cleaned_data["answer"],
            by=request.user,
            return_credits=choice != NOTHING,
            credits=form.cleaned_data["part"] if choice == PART else None,
            now=timezone.now(),
        )
