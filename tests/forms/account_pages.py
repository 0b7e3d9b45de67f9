"""The forms of the portal about a person, an account, its keys, projects and charges."""

from decimal import Decimal
from typing import Any

from accounts import forms as account_forms
from accounts.models import (
    ApiKey,
    Invitation,
    ProviderKey,
    TeamRequest,
    WebhookEndpoint,
    WebhookEvent,
)
from accounts.provider_keys import secret_of
from billing.models import Limit
from tests.forms.page import Page
from tests.forms.rows import ABSENT, Row, fields, refused, text_rows
from tests.forms.world import World
from usage.models import ChargeReport
from usage.views import forms as usage_forms


def _profile(world: World) -> dict[str, Any]:
    world.user.refresh_from_db()
    return fields(world.user, "first_name last_name language theme")


def _account(world: World) -> dict[str, Any]:
    world.account.refresh_from_db()
    return fields(world.account, "name zone")


def _key(world: World) -> dict[str, Any]:
    newest = ApiKey.objects.filter(account=world.account).order_by("created_at", "pk").last()
    return fields(newest, "name scopes daily_limit monthly_limit", once=lambda key: "used", days=_days)


def _days(key: ApiKey) -> int | None:
    return (key.expires_at - key.created_at).days if key.expires_at else None


def _key_limits(world: World) -> dict[str, Any]:
    key = ApiKey.objects.get(pk=world.key.pk)
    limits = Limit.objects.filter(account=world.account, subject=str(key.pk))
    maxima = {limit.period: limit.maximum for limit in limits}
    assert (key.daily_limit, key.monthly_limit) == (maxima.get("day"), maxima.get("month"))
    return fields(key, "name daily_limit monthly_limit")


def _member(world: World) -> dict[str, Any]:
    limit = Limit.objects.filter(account=world.account, subject=str(world.member.user_id)).first()
    assert world.member.monthly_limit == (limit.maximum if limit else None)
    return fields(world.member, "role monthly_limit")


def _invitation(world: World) -> dict[str, Any]:
    return fields(Invitation.objects.filter(account=world.account).first(), "email role monthly_limit")


def _team_request(world: World) -> dict[str, Any]:
    return fields(TeamRequest.objects.filter(user=world.user).first(), "kind name note")


def _webhook(world: World) -> dict[str, Any]:
    newest = WebhookEndpoint.objects.filter(account=world.account).order_by("created_at", "pk").last()
    return fields(newest, "url description events", once=lambda endpoint: "used")


def _provider_key(world: World) -> dict[str, Any]:
    newest = ProviderKey.objects.filter(account=world.account).order_by("created_at").last()
    return fields(newest, "provider", secret=secret_of) if newest else {}


def _project(world: World) -> dict[str, Any]:
    world.project.refresh_from_db()
    limit = Limit.objects.filter(account=world.account, subject=str(world.project.pk)).first()
    assert world.project.daily_limit == (limit.maximum if limit else None)
    return fields(world.project, "name daily_limit")


def _new_project(world: World) -> dict[str, Any]:
    newest = world.account.projects.exclude(pk=world.project.pk).order_by("created_at", "pk").last()
    return fields(newest, "name daily_limit")


def _report(world: World) -> dict[str, Any]:
    return fields(ChargeReport.objects.filter(account=world.account).first(), "reason")


PROJECT_NAME = [*text_rows(100)[:3], refused("", "Enter a name"), *text_rows(100)[4:]]
PROJECT_LIMIT = [
    Row("250", Decimal(250)),
    Row("2.5", Decimal("2.5")),
    Row("0.000001", Decimal("0.000001")),
    Row("1000000000", Decimal(10**9)),
    refused("1000000000.1", "The largest amount is 1000000000"),
    Row("", None),
    Row(ABSENT, None, shown=""),
    refused("0", "not a valid amount"),
    refused("-1", "not a valid amount"),
    refused("1,000", "not a valid amount"),
    refused("0.0000001", "not a valid amount"),
]

MEMBER_ROLE = [
    Row("owner", "owner"),
    Row("billing", "billing"),
    Row("member", "member"),
    refused("king", "not one of the available choices"),
    refused("", "required"),
]

PAGES = [
    Page(
        account_forms.ProfileForm,
        "/settings/",
        {"first_name": "Alice", "last_name": "Liddell", "language": "en", "theme": "system"},
        _profile,
        {
            "first_name": text_rows(150, required=False),
            "last_name": text_rows(150, required=False),
            "language": [
                *(Row(code, code) for code in ("en", "zh-hans", "")),
                *(refused(code, "not available") for code in ("xx", "de")),
            ],
            "theme": [
                *(Row(name, name) for name in ("system", "light", "dark")),
                *(refused("blue", "valid choice"), refused("", "required")),
            ],
        },
        roles=("owner", "billing", "member"),
        context="profile_form",
    ),
    Page(
        account_forms.AccountForm,
        "/settings/",
        {"name": "Looking Glass", "zone": "UTC"},
        _account,
        {
            "name": text_rows(200),
            "zone": [
                Row("Europe/Berlin", "Europe/Berlin"),
                Row("America/New_York", "America/New_York"),
                Row("UTC", "UTC"),
                refused("Mars/Phobos", "“Mars/Phobos” is not a known time zone"),
                Row("europe/berlin", "Europe/Berlin", "Europe/Berlin"),
                Row(" America/new york ", "America/New_York", "America/New_York"),
                refused("Berlin", "“Berlin” is not a known time zone"),
                refused("", "required"),
            ],
        },
        context="account_form",
        target="/settings/account/",
    ),
    Page(
        account_forms.KeyForm,
        "/keys/",
        {
            "once": "",
            "name": "Server",
            "scopes": ["read"],
            "daily_limit": "",
            "monthly_limit": "",
            "days": "",
        },
        _key,
        {
            "once": [
                Row("a" * 32, "used"),
                Row("", "used"),
                refused("x" * 33, "at most 32 characters"),
            ],
            "name": text_rows(100),
            "scopes": [
                Row(["read"], ["read"]),
                Row(["manage", "spend", "read"], ["read", "spend", "manage"]),
                refused([], "Choose at least one scope"),
                refused(["everything"], "not one of the available choices"),
            ],
            "daily_limit": PROJECT_LIMIT,
            "monthly_limit": PROJECT_LIMIT,
            "days": [
                Row("", None),
                Row("30", 30),
                Row("365", 365),
                refused("31", "not one of the available choices"),
                refused("-1", "not one of the available choices"),
            ],
        },
        accepted=200,
        hidden=("once",),
        shows_again=False,
        one_use=True,
    ),
    Page(
        account_forms.WebhookForm,
        "/webhooks/",
        {"once": "", "url": "https://hooks.example.com/", "description": "", "events": ["purchase.paid"]},
        _webhook,
        {
            "once": [
                Row("a" * 32, "used"),
                Row("", "used"),
                refused("x" * 33, "at most 32 characters"),
            ],
            "url": [
                Row("https://hooks.example.com:8443/a?b=c", "https://hooks.example.com:8443/a?b=c"),
                refused("", "required"),
                refused("hooks.example.com", "begins with https://"),
                refused("https://user:password@hooks.example.com/", "without a user name"),
                refused("https://hooks.example.com:25/", "port"),
                refused("https://169.254.169.254/", "not sent to this address"),
                refused("https://hooks.example.com/" + "x" * 2000, "at most 2000 characters"),
            ],
            "description": [Row("", ""), *text_rows(200)[:3]],
            "events": [
                Row(["member.removed", "balance.low"], ["balance.low", "member.removed"]),
                Row(WebhookEvent.Type.values, WebhookEvent.Type.values),
                refused([], "Choose at least one type of event"),
                refused(["charge.made"], "not one of the available choices"),
            ],
        },
        accepted=200,
        hidden=("once",),
        shows_again=False,
        one_use=True,
    ),
    Page(
        account_forms.KeyLimitsForm,
        "/keys/{key}/",
        {"name": "Server", "daily_limit": "5", "monthly_limit": "50"},
        _key_limits,
        {"name": text_rows(100), "daily_limit": PROJECT_LIMIT, "monthly_limit": PROJECT_LIMIT},
        # a billing member changes no key of an owner
        roles=("owner",),
    ),
    Page(
        usage_forms.MemberForm,
        "/members/{member}/",
        {"role": "billing", "monthly_limit": "5"},
        _member,
        {"role": MEMBER_ROLE, "monthly_limit": PROJECT_LIMIT},
    ),
    Page(
        usage_forms.InvitationForm,
        "/members/",
        {"email": "dora@example.org", "role": "member", "monthly_limit": "5"},
        _invitation,
        {
            "email": [
                Row("dora@example.org", "dora@example.org"),
                Row("Dora@Example.org", "dora@example.org"),
                refused("", "Enter an e-mail address"),
                refused("nobody", "valid email"),
                refused("x" * 250 + "@example.org", "at most 254"),
            ],
            "role": MEMBER_ROLE,
            "monthly_limit": PROJECT_LIMIT,
        },
        shows_again=False,
        one_use=True,
    ),
    Page(
        usage_forms.TeamRequestForm,
        "/teams/new/",
        {"kind": "family", "name": "The Liddells", "note": ""},
        _team_request,
        {
            "kind": [
                Row("family", "family"),
                Row("business", "business"),
                refused("club", "not one of the available choices"),
                refused("", "required"),
            ],
            "name": [*text_rows(200)[:3], refused("", "Enter a name"), *text_rows(200)[4:]],
            "note": text_rows(2000, required=False),
        },
        roles=("owner", "billing", "member"),
        shows_again=False,
        one_use=True,
    ),
    Page(
        account_forms.ProviderKeyForm,
        "/provider-keys/",
        {"provider": "openai", "secret": "sk-0123456789"},
        _provider_key,
        {
            "provider": [
                Row("openai", "openai"),
                Row("openrouter", "openrouter"),
                refused("unknown", "not one of the available choices"),
                refused("", "required"),
            ],
            "secret": [
                Row("12345678", "12345678"),
                Row("x" * 400, "x" * 400),
                Row("  sk-with-spaces-around  ", "sk-with-spaces-around"),
                refused("1234567", "too short"),
                refused("x" * 401, "at most 400 characters"),
                refused("", "required"),
                refused("with a space", "not allowed"),
                refused("umlaut-ä-in-it", "not allowed"),
                refused("tab\tin-it-12", "not allowed"),
            ],
        },
        shows_again=False,
    ),
    Page(
        usage_forms.ProjectForm,
        "/projects/{project}/",
        {"name": "Chat", "daily_limit": "5"},
        _project,
        {
            "name": [*PROJECT_NAME, refused("Taken", "already exists")],
            "daily_limit": PROJECT_LIMIT,
        },
    ),
    Page(
        usage_forms.ProjectForm,
        "/projects/",
        {"name": "Chat", "daily_limit": "5"},
        _new_project,
        {
            "name": [*PROJECT_NAME, refused("Taken", "already exists")],
            "daily_limit": PROJECT_LIMIT,
        },
        key="ProjectForm for a new project",
        shows_again=False,
        one_use=True,
    ),
    Page(
        usage_forms.ReportForm,
        "/charges/{charge}/",
        {"reason": "Too much"},
        _report,
        {
            "reason": [
                Row("Ada", "Ada"),
                Row("x" * 2000, "x" * 2000),
                refused("x" * 2001, "at most 2000 characters"),
                refused("", "Describe the problem"),
                refused("   ", "Describe the problem"),
            ]
        },
        target="/charges/{charge}/report/",
        roles=("owner", "billing", "member"),
        shows_again=False,
        one_use=True,
    ),
]
