"""Admin classes of users, accounts, memberships and projects. The rules are in the modules that they call.

Invariants: no user or account is deleted here (the ledger is kept); only administrators change members of
staff, and nobody changes their own role.
"""

from typing import Any

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import (
    act_admin,
    api_keys,
    erasure,
    key_admin,
    memberships,
    registration,
    signals,
    staff_roles,
    team_admin,
    webhook_admin,
)
from accounts.admin_forms import PersonChange, PersonCreation
from accounts.models import ApiKey, Membership, Project, User
from core import staff_acts
from core.errors import Refusal
from core.staff_admin import ReadOnlyInline, StaffAdmin

__all__ = [
    "MembershipAdmin",
    "ProjectAdmin",
    "UserAdmin",
    "act_admin",
    "key_admin",
    "team_admin",
    "webhook_admin",
]


class MembershipsOfUser(ReadOnlyInline):
    model = Membership
    of = "user_id"
    fields = readonly_fields = ["account", "role", "created_at"]
    verbose_name_plural = _("Accounts")


class MembershipsOfAccount(ReadOnlyInline):
    model = Membership
    fields = readonly_fields = ["user", "role", "created_at"]
    verbose_name_plural = _("Members")


class KeysOfAccount(ReadOnlyInline):
    model = ApiKey
    fields = readonly_fields = ["name", "prefix", "scopes", "created_by", "last_used_at", "revoked_at"]


class ProjectsOfAccount(ReadOnlyInline):
    model = Project
    fields = readonly_fields = ["name", "daily_limit", "created_at", "archived_at"]


def _of(request: HttpRequest) -> User:
    """The member of staff who sent the request."""
    assert isinstance(request.user, User)
    return request.user


@admin.register(User)
class UserAdmin(StaffAdmin):
    list_display = ["email", "shown_name", "is_active", "is_staff", "last_login", "date_joined"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "first_name", "last_name"]
    ordering = ["-date_joined"]
    fieldsets = [
        (None, {"fields": ["email", "first_name", "last_name", "language", "public_id"]}),
        (_("Permissions"), {"fields": ["is_active", "role"]}),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    form = PersonChange
    inlines = [MembershipsOfUser]
    personal_fields = frozenset({"email", "first_name", "last_name"})
    actions = ["end_sessions", "remove_second_factor"]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        fixed = ["public_id", "last_login", "date_joined"]
        # Only the user changes the address, because the new one must be verified.
        fixed += ["email"] if obj else []
        return fixed if _of(request).is_superuser else [*fixed, "role"]

    @admin.display(description=_("role"))
    def role(self, user: User) -> Any:
        """The role, shown to those who may not change it."""
        role = staff_roles.role_of(user)
        return staff_roles.OTHER_LABEL if role == staff_roles.OTHER else staff_roles.Role(role).label

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        return (
            super().get_fieldsets(request, obj) if obj else [(None, {"fields": PersonCreation.Meta.fields})]
        )

    def get_form(self, request: HttpRequest, obj: User | None = None, **kwargs: Any) -> type[forms.ModelForm]:
        form: type[forms.ModelForm] = super().get_form(
            request, obj, **kwargs if obj else {**kwargs, "form": PersonCreation}
        )
        return form

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        if obj is None or not allowed:
            return allowed
        return not erasure.is_erased(obj) and (not obj.is_staff or _of(request).is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show why a role cannot be changed."""
        try:
            page: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except staff_roles.RoleRefused as error:
            messages.error(request, str(error))
            return redirect(request.path)
        return page

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        if not change:
            obj.set_unusable_password()  # the user sets one with “Forgot your password?”
            super().save_model(request, obj, form, change)
            registration.open_personal_account(obj, timezone.now())
            return
        if "role" in form.changed_data:
            staff_roles.assign(obj, form.cleaned_data["role"], by=_of(request))
        elif "is_active" in form.changed_data and obj.is_staff:
            staff_roles.require_may_change(obj, by=_of(request))
        # not one who was erased after the form was opened
        User.objects.filter(pk=obj.pk, email=obj.email).update(
            **{name: form.cleaned_data[name] for name in form.changed_data if name != "role"}
        )
        if "is_active" in form.changed_data:
            api_keys.outlast_leases()

    @admin.action(description=_("End all sessions"), permissions=["change"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        done = 0
        for user in self._manageable(request, queryset):
            with transaction.atomic():
                signals.end_sessions(user)
                self.record(request, user, "end_sessions")
                done += 1
        self._say(request, done, queryset, _("The sessions were ended."))

    @admin.action(
        description=_("Turn off two-step sign-in and remove passkeys (lost phone)"), permissions=["change"]
    )
    def remove_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        done = 0
        for user in self._manageable(request, queryset):
            with transaction.atomic():
                removed = list(Authenticator.objects.filter(user=user).values_list("type", flat=True))
                Authenticator.objects.filter(user=user).delete()
                signals.end_sessions(user)
                self.log_change(request, user, "Removed the second factor.")
                self.record(request, user, "remove_second_factor", before={"factors": removed})
                done += 1
        text = _("Two-step sign-in was turned off, and the sessions were ended.")
        self._say(request, done, queryset, text)

    def _say(self, request: HttpRequest, done: int, queryset: QuerySet[User], text: Any) -> None:
        """What was done, and that something was not."""
        if done:
            messages.success(request, text)
        if done < queryset.count():
            left = _("Members of staff and deleted users were left as they are: administrators change staff.")
            messages.error(request, left)

    def _manageable(self, request: HttpRequest, queryset: QuerySet[User]) -> list[User]:
        return [user for user in queryset if self.has_change_permission(request, user)]


@admin.register(Membership)
class MembershipAdmin(StaffAdmin):
    list_display = ["user", "account", "role", "created_at"]
    list_filter = ["role"]
    search_fields = ["user__email", "account__name", "account__external_id"]
    autocomplete_fields = ["user", "account"]
    ordering = ["-created_at"]
    actions = ["remove"]

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> list[str]:
        return ["account", "user"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return False  # removal is an action, which also revokes the keys of the member

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show why a user cannot be added."""
        try:
            page: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except memberships.LastOwner:
            messages.error(request, _("Nothing was changed: an account needs at least one owner."))
            return redirect(request.path)
        except Refusal as error:
            messages.error(request, str(error))
            return redirect(request.path)
        return page

    def save_model(self, request: HttpRequest, obj: Membership, form: forms.ModelForm, change: bool) -> None:
        given, now = form.cleaned_data, timezone.now()
        _require_no_staff(obj.user if change else given["user"], by=_of(request))
        if not change:
            erasure.require_open(given["account"].pk)
            terms = {"role": given["role"], "monthly_limit": given["monthly_limit"], "now": now}
            obj.pk = memberships.add(account=given["account"], user=given["user"], **terms).pk
            return
        memberships.change(obj, role=given["role"], monthly_limit=given["monthly_limit"], now=now)

    @admin.action(
        description=_("Remove from the account and revoke the keys they created"), permissions=["change"]
    )
    def remove(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset.select_related("user", "account"):
            try:
                _require_no_staff(membership.user, by=_of(request))
                with transaction.atomic():
                    self.record(request, membership, "remove", before=staff_acts.fields_of(membership))
                    memberships.remove(membership, timezone.now())
            except staff_roles.RoleRefused as error:
                messages.error(request, str(error))
            except memberships.LastOwner:
                messages.error(
                    request,
                    _("%(user)s is the only owner of %(account)s. Add another owner first.")
                    % {"user": membership.user, "account": membership.account},
                )


def _require_no_staff(user: User, *, by: User) -> None:
    """Memberships of staff are for administrators: as a member of a customer's account, a person could do
    there what the role of staff does not permit. Raises RoleRefused."""
    if user.is_staff and not by.is_superuser:
        raise staff_roles.RoleRefused(_("Only administrators change members of staff."))


@admin.register(Project)
class ProjectAdmin(StaffAdmin):
    list_display = ["name", "account", "daily_limit", "created_at", "archived_at"]
    search_fields = ["name", "account__name", "account__external_id"]
    list_select_related = ["account"]
    ordering = ["-created_at"]
    fields = ["account", "name", "daily_limit", "created_at", "archived_at"]
    # The daily limit belongs to the ledger and is set on the projects page.
    readonly_fields = ["account", "daily_limit", "created_at", "archived_at"]
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        return False
