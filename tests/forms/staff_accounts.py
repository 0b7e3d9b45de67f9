"""The forms of staff about users, accounts, keys, members and projects."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone

from accounts import admin_forms, api_keys, staff_roles, team_admin
from accounts.models import Account, ApiKey, Membership, TeamRequest, User
from tests.forms.rows import ABSENT, Row, fields, refused, text_rows
from tests.forms.staff_form import StaffForm, at
from tests.forms.world import World


def the_user(world: World) -> User:
    return User.objects.get(email="charlie@example.org")


def _new_user(world: World) -> dict[str, Any]:
    return fields(User.objects.order_by("date_joined", "pk").last(), "email first_name last_name")


def _changed_user(world: World) -> dict[str, Any]:
    return fields(
        the_user(world),
        "first_name last_name language is_active",
        role=staff_roles.role_of,
    )


def _changed_account(world: World) -> dict[str, Any]:
    return fields(Account.objects.get(pk=world.account.pk), "name external_id zone")


_REQUESTS_PER_MINUTE = [
    Row("600", 600),
    Row("1", 1),
    Row("", None),
    refused("0", "greater than or equal to 1"),
    refused("2147483648", "less than or equal to 2147483647"),
    refused("1.5", "whole number"),
]


def _newest_key() -> ApiKey | None:
    return ApiKey.objects.filter(kind="platform").order_by("created_at", "pk").last()


def _platform_key(world: World) -> dict[str, Any]:
    return fields(_newest_key(), "name scopes requests_per_minute")


def _existing_key(world: World) -> ApiKey:
    issued = {"kind": "platform", "name": "Backend", "scopes": ["read"], "now": timezone.now()}
    return _newest_key() or api_keys.issue(**issued).key  # type: ignore[arg-type]


def _membership(world: World) -> Membership:
    return Membership.objects.get(account=world.account, user__email="bob@example.org")


def _team_request(world: World) -> TeamRequest:
    terms = {"kind": "family", "name": "Liddell", "created_at": timezone.now()}
    return TeamRequest.objects.get_or_create(user=world.user, defaults=terms)[0]


def _decision(request: TeamRequest) -> str:
    opened = Membership.objects.filter(account=request.account, role="owner", user=request.user).exists()
    assert opened == (request.status == "approved")
    return request.status


FORMS = [
    StaffForm(
        admin_forms.PersonCreation,
        "accounts.add_user",
        lambda world: "/admin/accounts/user/add/",
        {"email": "dora@example.org", "first_name": "Dora", "last_name": "Maar"},
        _new_user,
        {
            "email": [
                Row("dora@example.org", "dora@example.org"),
                Row("Erik@Example.ORG", "erik@example.org"),
                refused("", "required"),
                refused("nobody", "valid email"),
                refused("alice@example.org", "already exists"),
                refused("ALICE@example.org", "already exists"),
            ],
            "first_name": [Row("Dora", "Dora"), Row("", ""), refused("x" * 151, "at most 150")],
            "last_name": [Row("Maar", "Maar"), Row("", ""), refused("x" * 151, "at most 150")],
        },
    ),
    StaffForm(
        admin_forms.PersonChange,
        "accounts.change_user",
        at("/admin/accounts/user/{pk}/change/", the_user),
        {"first_name": "Charlie", "last_name": "B", "language": "en", "is_active": "on", "role": "none"},
        _changed_user,
        {
            "first_name": [Row("Charlie", "Charlie"), Row("", ""), refused("x" * 151, "at most 150")],
            "last_name": [Row("B", "B"), Row("", ""), refused("x" * 151, "at most 150")],
            "language": [*(Row(code, code) for code in ("en", "zh-hans", "")), refused("de", "valid choice")],
            "is_active": [Row("on", True), Row(ABSENT, False)],
            "role": [
                *(Row(role, role) for role in staff_roles.Role.values),
                refused("superuser", "valid choice"),
                refused("other", "valid choice"),
                refused("", "required"),
            ],
        },
        key="a user",
    ),
    StaffForm(
        admin_forms.AccountChange,
        "accounts.change_account",
        at("/admin/accounts/account/{pk}/change/", lambda world: world.account),
        {"name": "Looking Glass", "external_id": "our-1", "zone": "Europe/Berlin"},
        _changed_account,
        {
            "name": [
                Row("Looking Glass", "Looking Glass"),
                refused("x" * 201, "at most 200 characters"),
                refused("", "required"),
            ],
            "external_id": [
                Row("our-1", "our-1"),
                Row("", None),
                Row("x" * 255, "x" * 255),
                refused("x" * 256, "at most 255 characters"),
                refused("team/1", "cannot contain a slash"),
                refused("acct_" + "0" * 32, "cannot have the form of an id"),
            ],
            "zone": [
                Row("Europe/Berlin", "Europe/Berlin"),
                Row("UTC", "UTC"),
                refused("Mars/Phobos", "not a known time zone"),
                refused("europe/berlin", "not a known time zone"),
                refused("", "required"),
            ],
        },
    ),
    StaffForm(
        admin_forms.PlatformKey,
        "accounts.add_apikey",
        lambda world: "/admin/accounts/apikey/add/",
        {"name": "Backend", "scopes": ["read"]},
        _platform_key,
        {
            "name": [*text_rows(100), Row("Backend", "Backend")],
            "scopes": [
                Row(["read"], ["read"]),
                Row(["manage", "spend"], ["spend", "manage"]),
                refused([], "Choose at least one scope"),
                refused(["all"], "not one of the available choices"),
            ],
            "requests_per_minute": _REQUESTS_PER_MINUTE,
        },
        accepted=200,
    ),
    StaffForm(
        forms.ModelForm,
        "accounts.change_apikey",
        at("/admin/accounts/apikey/{pk}/change/", _existing_key),
        {"requests_per_minute": "60"},
        lambda world: fields(_existing_key(world), "requests_per_minute"),
        {"requests_per_minute": _REQUESTS_PER_MINUTE},
        key="an api key",
    ),
    StaffForm(
        forms.ModelForm,
        "accounts.change_membership",
        at("/admin/accounts/membership/{pk}/change/", _membership),
        {"role": "billing", "monthly_limit": "250"},
        lambda world: fields(_membership(world), "role monthly_limit"),
        {
            "role": [
                Row("billing", "billing"),
                Row("owner", "owner"),
                Row("member", "member"),
                refused("king", "not one of the available choices"),
                refused("", "required"),
            ],
            "monthly_limit": [
                Row("250", Decimal(250)),
                Row("0.000001", Decimal("0.000001")),
                Row("", None),
                refused("0", "greater than or equal to 0.000001"),
                refused("-1", "greater than or equal to 0.000001"),
                refused("1000000001", "less than or equal to 1000000000"),
                refused("much", "number"),
            ],
        },
        key="a membership",
    ),
    StaffForm(
        team_admin.DecisionForm,
        "accounts.change_teamrequest",
        at("/admin/accounts/teamrequest/{pk}/change/", _team_request),
        {"decision": "decline", "answer": "Too few members"},
        lambda world: fields(_team_request(world), "answer", decision=_decision),
        {
            "decision": [
                Row("decline", "declined"),
                Row("approve", "approved"),
                refused("maybe", "not one of the available choices"),
                refused("", "required"),
            ],
            "answer": [
                Row("Too few members", "Too few members"),
                Row("x" * 2000, "x" * 2000),
                refused("x" * 2001, "at most 2000"),
                refused("", "Enter an answer"),
            ],
        },
    ),
    StaffForm(
        forms.ModelForm,
        "accounts.change_project",
        at("/admin/accounts/project/{pk}/change/", lambda world: world.project),
        {"name": "Robot"},
        lambda world: {"name": type(world.project).objects.get(pk=world.project.pk).name},
        {"name": [*text_rows(100), Row("Robot", "Robot")]},
        key="a project",
    ),
]
