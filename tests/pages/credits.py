"""Conditions of the pages of credits: dashboard, project, statement, reports of a charge, keys."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts import api_keys, provider_keys
from accounts.models import ApiKey, Project
from billing import ledger
from tests.forms.world import World
from tests.pages.case import Case, alert, both, charge, debt, role, subscription
from tests.usage.spending import give, spend
from usage.models import ChargeReport

DASHBOARD, PROJECT, PROJECTS, CHARGE = "/", "/projects/{project}/", "/projects/", "/charges/{charge}/"
KEYS, PROVIDER_KEYS = "/keys/", "/provider-keys/"


def spent(credits: str) -> Callable[[World], Any]:
    return lambda world: spend(world.account, credits, timezone.now())


def spent_all_but(credits: int) -> Callable[[World], Any]:
    def change(world: World) -> None:
        available = ledger.balance(world.account.pk, timezone.now()).available
        spend(world.account, str(available - credits), timezone.now())

    return change


def given(credits: str, **terms: Any) -> Callable[[World], Any]:
    return lambda world: give(world.account, credits, timezone.now(), **terms)


def project(**fields: Any) -> Callable[[World], Any]:
    return lambda world: Project.objects.filter(pk=world.project.pk).update(**fields)


def report(status: str, *, with_key: bool = False, **fields: Any) -> Callable[[World], Any]:
    return lambda world: ChargeReport.objects.create(
        account=world.account,
        charge_id=world.charge.pk,
        reporter=None if with_key else world.user,
        reason="Too expensive",
        status=status,
        created_at=timezone.now(),
        **fields,
    )


def key(**fields: Any) -> Callable[[World], Any]:
    def create(world: World) -> None:
        issued = api_keys.issue(
            kind="account",
            name="Server 7",
            scopes=["read"],
            account=world.account,
            created_by=world.user,
            now=timezone.now() - timedelta(hours=2),
        )
        ApiKey.objects.filter(pk=issued.key.pk).update(**fields)

    return create


def charged_with_a_key(world: World) -> None:
    key()(world)
    charge(api_key_id=ApiKey.objects.get(account=world.account).pk)(world)


def provider_key(world: World) -> None:
    provider_keys.store(
        account=world.account, provider="openai", secret="sk-abcdefgh-9876", now=timezone.now()
    )


NOW = timezone.now()
ANSWERED: dict[str, Any] = {"answer": "We have looked.", "answered_at": NOW}

CASES = [
    # the dashboard: how long the credits last
    Case("a day left", DASHBOARD, spent("500"), ("last about 1 day.",), ("last more than a year.",)),
    Case(
        "hours left",
        DASHBOARD,
        spent("900"),
        ("last less than a day.", "902 per day in the last day"),
        ("last more than a year.", '"stat-note">2 per day in'),
    ),
    Case(
        "debt",
        DASHBOARD,
        debt,
        ("You owe ", "credits owed. New credits repay this debt first."),
        ("last more than a year.",),
        absent=("You have no credits.",),
    ),
    # its banners
    Case(
        "nothing left",
        DASHBOARD,
        spent_all_but(0),
        ("You have no credits. Calls are refused.", "You get new credits", "Upgrade to Starter"),
        ("last more than a year.",),
        absent=("Upgrade to Studio", "Ask an owner or billing member"),
    ),
    Case(
        "nothing left, for a member",
        DASHBOARD,
        both(spent_all_but(0), role("member")),
        ("You have no credits.", "Ask an owner or billing member of the account"),
        absent=("Upgrade to Starter",),
    ),
    Case(
        "low",
        DASHBOARD,
        both(alert(enabled=True), spent_all_but(39)),
        ("below your alert threshold of 40 credits", ">Edit alerts</a>"),
        absent=("You have no credits.",),
    ),
    Case(
        "at the threshold",
        DASHBOARD,
        both(alert(enabled=True), spent_all_but(40)),
        absent=("below your alert threshold",),
    ),
    Case(
        "expiring soon",
        DASHBOARD,
        given("7", label="Gift", expires_at=NOW + timedelta(days=3)),
        ("7 credits (Gift) expire ", '<span class="warn">'),
    ),
    Case(
        "expiring later",
        DASHBOARD,
        given("7", label="Gift", expires_at=NOW + timedelta(days=30)),
        (">Gift</a>",),
        absent=("7 credits (Gift) expire", '<span class="warn">'),
    ),
    Case(
        "for some services",
        DASHBOARD,
        given("7", services=["tag:advanced"]),
        ("7 more credits are for selected services only.",),
    ),
    Case(
        "unlimited",
        DASHBOARD,
        subscription(plan="early-bird"),
        ("Unlimited on your plan",),
    ),
    # a project
    Case(
        "archived",
        PROJECT,
        project(archived_at=NOW),
        ("Archived. Calls with its ID are refused.", "Restore canvas", ">archived<"),
        ("Archive canvas", "Save changes"),
    ),
    Case(
        "archived, for a member",
        PROJECT,
        both(project(archived_at=NOW), role("member")),
        ("Archived. Calls with its ID are refused.",),
        absent=("Restore canvas",),
    ),
    Case("for a member", PROJECT, role("member"), hidden=("Archive canvas", "Save changes")),
    Case("archived", PROJECTS, project(archived_at=NOW), ("1 archived",)),
    # reports of a charge
    Case(
        "reported",
        CHARGE,
        report("open"),
        ("Reported by alice@example.org", "Too expensive", "We are reviewing this report."),
        ("Report a problem", "Send report"),
        absent=("Our answer", "Report another problem", "Reported with an API key"),
    ),
    Case(
        "reported with a key",
        CHARGE,
        report("open", with_key=True),
        ("Reported with an API key",),
        absent=("Reported by",),
    ),
    Case(
        "answered",
        CHARGE,
        report("answered", **ANSWERED),
        ("Our answer, ", "We have looked.", "Report another problem"),
        ("Report a problem",),
        absent=("We are reviewing this report.", "Credits returned"),
    ),
    Case("returned", CHARGE, report("returned", **ANSWERED), ('badge-good">Credits returned',)),
    Case(
        "answered and reported again",
        CHARGE,
        both(report("answered", **ANSWERED), report("open")),
        ("Our answer, ", "We are reviewing this report."),
        ("Send report",),
        absent=("Report another problem",),
    ),
    # the facts of a charge
    Case("key", CHARGE, charged_with_a_key, ("<dt>API key</dt><dd>Server 7</dd>",)),
    Case(
        "rate without a date",
        CHARGE,
        charge(detail={"rate": {"version": "v7"}}),
        ("<dd>Version v7</dd>",),
        ("in effect since",),
    ),
    # API keys
    Case(
        "a key",
        KEYS,
        key(),
        ("Server 7", "Never</td>", "Revoke key", "2 h ago", 'cell-note">Alice'),
        ("No API keys yet",),
        absent=(">Revoked<",),
    ),
    Case(
        "a used key", KEYS, key(last_used_at=NOW - timedelta(days=1)), ("Server 7",), absent=("Never</td>",)
    ),
    Case("a revoked key", KEYS, key(revoked_at=NOW), (">Revoked<",), absent=("Revoke key",)),
    Case(
        "a key, for a member",
        KEYS,
        both(key(), role("member")),
        ("Server 7",),
        absent=("Revoke key",),
    ),
    # keys at providers
    Case(
        "a provider key",
        PROVIDER_KEYS,
        provider_key,
        ("…9876", "Delete key"),
        ("No provider keys yet",),
        absent=("abcdefgh",),
    ),
    Case(
        "a provider key, for a member",
        PROVIDER_KEYS,
        both(provider_key, role("member")),
        ("…9876",),
        ("Save key",),
        absent=("Delete key",),
    ),
]
