"""The demo world: thirty days of usage, created once, and only with the sandbox."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.test import Client

from accounts import api_keys
from accounts.models import Account, ApiKey, User
from billing import ledger
from billing.models import Charge, Entry, Grant
from pricing.catalogue import loading
from usage import budgets
from usage.demo import world as demo
from usage.models import RefusedCalls

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(catalogue: None) -> demo.World:
    return demo.build(now=NOW)


def test_its_entries_name_no_member_of_staff(world: demo.World) -> None:
    actors = Entry.objects.filter(account=world.account).values_list("actor", flat=True)
    assert "staff" in actors and not any("@" in actor for actor in actors), "members download them"


def test_calls_are_spread_over_days_services_and_projects(world: demo.World) -> None:
    charges = Charge.objects.filter(account=world.account)
    assert charges.count() > 250
    assert charges.values("service").distinct().count() >= 6
    assert charges.values("project_id").distinct().count() == len(demo.PROJECTS)
    assert len({charge.created_at.date() for charge in charges}) >= 25
    assert NOW - timedelta(days=demo.DAYS) < min(charge.created_at for charge in charges)
    assert max(charge.created_at for charge in charges) <= NOW


@pytest.mark.parametrize("name", ["apinfer", "flowly", "recraft"])
def test_usage_reaches_the_last_days_whatever_the_services_cost(db: None, name: str) -> None:
    loading.load(name, now=NOW - timedelta(days=demo.DAYS + 1))
    charges = Charge.objects.filter(account=demo.build(now=NOW).account)
    assert len({charge.created_at.date() for charge in charges}) >= 25
    assert charges.filter(created_at__gt=NOW - timedelta(days=3)).exists()


def test_the_balance_is_the_sum_of_the_entries(world: demo.World) -> None:
    balance = ledger.balance(world.account.pk, NOW)
    entries = Entry.objects.filter(account_id=world.account.pk).aggregate(total=Sum("credits"))["total"]
    grants = Grant.objects.filter(account_id=world.account.pk).aggregate(total=Sum("remaining"))["total"]
    assert balance.available == entries == grants > 0


def test_the_figures_are_the_same_every_time(catalogue: None) -> None:
    def spent() -> Decimal:
        account = demo.build(now=NOW).account
        return Charge.objects.filter(account=account).aggregate(total=Sum("credits"))["total"]

    first = spent()
    User.objects.filter(email=demo.EMAIL).update(email="earlier@example.com")
    Account.objects.filter(person__email="earlier@example.com").update(external_id="earlier")
    from allauth.account.models import EmailAddress

    EmailAddress.objects.filter(email=demo.EMAIL).update(email="earlier@example.com")
    assert spent() == first


def test_creating_it_again_changes_nothing(world: demo.World) -> None:
    def counts() -> list[int]:
        return [model.objects.count() for model in (Charge, Grant, User, ApiKey)]

    before = counts()
    again = demo.build(now=NOW + timedelta(hours=1), existing_keys=[world.account_key, world.platform_key])
    assert again == world
    assert counts() == before


def test_a_budget_runs_whenever_the_demo_is_started(world: demo.World) -> None:
    def shown(now: datetime) -> list[tuple[str, bool, Decimal, Decimal]]:
        trees = budgets.trees_of(world.account, now)
        return [(root.purpose, root.is_open, root.sums.spent, root.sums.reserved) for root in trees]

    running = ("Weekly report", True, Decimal("10.7"), Decimal("34.5"))
    assert shown(NOW) == [running]
    later = NOW + timedelta(days=2)
    demo.build(now=later, existing_keys=[world.account_key, world.platform_key])
    assert shown(later) == [running, ("Weekly report", False, Decimal("10.7"), Decimal(0))]


def test_a_missing_or_revoked_key_is_replaced(world: demo.World) -> None:
    again = demo.build(now=NOW, existing_keys=[world.platform_key])
    assert again.platform_key == world.platform_key
    assert again.account_key != world.account_key
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(world.account_key, NOW)


def test_the_demo_user_can_sign_in(world: demo.World, client: Client) -> None:
    answer = client.post("/accounts/login/", {"login": demo.EMAIL, "password": demo.PASSWORD})
    assert answer.status_code == 302 and "confirm" not in answer.headers["Location"]
    assert client.get("/").status_code == 200


def test_the_command_writes_the_credentials(catalogue: None, tmp_path: Path, settings: Any) -> None:
    settings.VAR_DIR = tmp_path
    call_command("demo_world", verbosity=0)
    credentials = json.loads((tmp_path / "demo.json").read_text())
    assert {"url", "email", "password", "staff_email", "staff_password", "account"} <= credentials.keys()
    assert {"account_key", "platform_key"} <= credentials.keys()
    assert (tmp_path / "demo.json").stat().st_mode & 0o077 == 0
    call_command("demo_world", verbosity=0)
    assert json.loads((tmp_path / "demo.json").read_text()) == credentials


def test_the_demo_has_refused_calls_of_which_a_few_are_made_each_day(
    catalogue: None, tmp_path: Path, settings: Any, clock: Any
) -> None:
    settings.VAR_DIR = tmp_path

    def refused() -> dict[str, int]:
        rows = RefusedCalls.objects.values_list("code").annotate(calls=Sum("calls"))
        return {code: int(calls) for code, calls in rows}

    first = {"insufficient_credits": 1, "limit_reached": 3, "missing_scope": 1}
    for _time in range(2):
        call_command("demo_world", verbosity=0)
        assert refused() == first
    assert Charge.objects.filter(idempotency_key__startswith="demo-refused").count() == 0
    clock.shift(25 * 3600)
    call_command("demo_world", verbosity=0)
    assert refused() == first | {"insufficient_credits": 2}, "the keys exist already"


@pytest.mark.fault("O4")
def test_it_is_not_created_with_a_real_stripe_account(catalogue: None, settings: Any) -> None:
    settings.SANDBOX = False
    with pytest.raises(CommandError, match="requires the sandbox"):
        call_command("demo_world")
    assert not User.objects.filter(email=demo.EMAIL).exists()
