"""The admin of requests for team accounts: open requests first; staff approve or decline.

Invariants: a request is answered once, through `accounts.team_requests`; what the user wrote never changes.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget

from accounts import team_requests
from accounts.models import TeamRequest, User
from core.staff_admin import StaffAdmin

APPROVE, DECLINE = "approve", "decline"


class DecisionForm(forms.ModelForm):
    """The decision, and what the e-mail to the user says."""

    decision = forms.ChoiceField(
        label=_("Decision"),
        choices=[(APPROVE, _("Open the team account")), (DECLINE, _("Decline"))],
        widget=UnfoldAdminRadioSelectWidget,
    )
    answer = forms.CharField(
        label=_("Answer"),
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextareaWidget,
        help_text=_("Sent to the user by e-mail. Required when you decline."),
    )

    class Meta:
        model = TeamRequest
        fields: list[str] = []

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if given.get("decision") == DECLINE and not given.get("answer"):
            self.add_error("answer", _("Enter an answer. It is sent to the user."))
        return given


@admin.register(TeamRequest)
class TeamRequestAdmin(StaffAdmin):
    list_display = ["name", "kind", "status", "user", "created_at", "answered_by"]
    list_filter = ["status", "kind"]
    list_select_related = ["user", "answered_by"]
    search_fields = ["name", "user__email"]
    actions = None
    form = DecisionForm
    request_fields = ["name", "kind", "user", "note", "created_at", "status"]
    answer_fields = ["answer", "account", "answered_by", "answered_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TeamRequest]:
        """Open requests first, then the newest."""
        open_first = Case(When(status=TeamRequest.Status.OPEN, then=Value(0)), default=Value(1))
        found: QuerySet[TeamRequest] = super().get_queryset(request)
        return found.order_by(open_first, "-created_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: TeamRequest | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and (obj is None or obj.status == TeamRequest.Status.OPEN)

    def get_fields(self, request: HttpRequest, obj: TeamRequest | None = None) -> list[str]:
        can_answer = obj is not None and self.has_change_permission(request, obj)
        return [*self.request_fields, *(DecisionForm.base_fields if can_answer else self.answer_fields)]

    def get_readonly_fields(self, request: HttpRequest, obj: TeamRequest | None = None) -> list[str]:
        return [name for name in self.get_fields(request, obj) if name not in DecisionForm.base_fields]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show an error when the request has been answered meanwhile."""
        try:
            page: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except team_requests.AlreadyAnswered as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect(request.path)
        return page

    def save_model(self, request: HttpRequest, obj: TeamRequest, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)
        given = form.cleaned_data
        decide = team_requests.approve if given["decision"] == APPROVE else team_requests.decline
        decide(obj.pk, by=request.user, answer=given["answer"], now=timezone.now())
