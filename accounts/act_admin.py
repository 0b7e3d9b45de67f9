"""The audit log in the admin: what staff did, filtered by person, act, account and date. Read-only."""

from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, User
from core.models import Identified, StaffAct
from core.staff_admin import LongReadOnlyAdmin


class ActorFilter(admin.SimpleListFilter):
    """The people who have done something."""

    title, parameter_name = _("person"), "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        actors = User.objects.filter(pk__in=StaffAct.objects.values("actor_id").distinct())
        return [(str(actor.pk), actor.email) for actor in actors.order_by("email")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StaffAct]) -> QuerySet[StaffAct]:
        chosen = self.value()
        try:
            return queryset.filter(actor_id=UUID(chosen)) if chosen else queryset
        except ValueError:
            return queryset.none()


class ActFilter(admin.SimpleListFilter):
    title, parameter_name = _("act"), "act"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (act, act) for act in StaffAct.objects.values_list("act", flat=True).distinct().order_by("act")
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StaffAct]) -> QuerySet[StaffAct]:
        return queryset.filter(act=self.value()) if self.value() else queryset


@admin.register(StaffAct)
class StaffActAdmin(LongReadOnlyAdmin):
    list_display = ["created_at", "actor", "act", "subject", "account", "reason"]
    list_filter = [ActorFilter, ActFilter, "created_at"]
    search_fields = ["act", "reason"]
    search_help_text = _(
        "E-mail address of the person, an account (id, name or external id), any id, or a reason"
    )
    ordering = ["-created_at", "-id"]
    fields = ["created_at", "actor", "act", "subject", "account", "reason", "changes"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[StaffAct]:
        acts: QuerySet[StaffAct] = super().get_queryset(request)
        return acts.annotate(
            actor_email=Subquery(User.objects.filter(pk=OuterRef("actor_id")).values("email")),
            account_name=Subquery(Account.objects.filter(pk=OuterRef("account_id")).values("name")),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[StaffAct], search_term: str
    ) -> tuple[QuerySet[StaffAct], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        pk = _row_of(term)
        if pk is not None:
            return queryset.filter(
                Q(subject_id=str(pk)) | Q(account_id=pk) | Q(actor_id=pk) | Q(pk=pk)
            ), False
        actors = User.objects.filter(email__iexact=term).values("pk")
        accounts = Account.objects.filter(Q(name__iexact=term) | Q(external_id=term)).values("pk")
        found = Q(actor_id__in=actors) | Q(account_id__in=accounts)
        return queryset.filter(found | Q(reason__icontains=term) | Q(act=term)), False

    @admin.display(description=_("person"), ordering="actor_id")
    def actor(self, act: StaffAct) -> str:
        return self._link("accounts.user", act.actor_id, act.actor_email or str(act.actor_id))  # type: ignore[attr-defined]

    @admin.display(description=_("account"))
    def account(self, act: StaffAct) -> str:
        if act.account_id is None:
            return "–"
        return self._link("accounts.account", act.account_id, act.account_name or str(act.account_id))  # type: ignore[attr-defined]

    @admin.display(description=_("subject"))
    def subject(self, act: StaffAct) -> str:
        if not act.subject_type:
            return "–"
        try:
            model = apps.get_model(act.subject_type)
        except LookupError:
            return f"{act.subject_type} {act.subject_id}"
        label = act.subject_id
        if issubclass(model, Identified):
            label = model.public_id_of(UUID(act.subject_id))
        return self._link(act.subject_type, act.subject_id, label)

    @admin.display(description=_("changes"))
    def changes(self, act: StaffAct) -> str:
        names = dict.fromkeys([*act.before, *act.after])
        rows = ((name, act.before.get(name, "–"), act.after.get(name, "–")) for name in names)
        return format_html_join("", "<div><code>{}</code>: {} → {}</div>", rows) or "–"

    def _link(self, label: str, pk: object, text: str) -> str:
        try:
            address = reverse(f"admin:{label.replace('.', '_')}_change", args=[pk])
        except NoReverseMatch:
            return text
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500 underline" href="{}">{}</a>', address, text
        )


def _row_of(text: str) -> UUID | None:
    """The primary key behind a public id of any kind."""
    for model in apps.get_models():
        if issubclass(model, Identified) and text.startswith(f"{model.PREFIX}_"):
            return model.uuid_of(text)
    return None
