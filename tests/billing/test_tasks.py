"""Celery tasks of billing do what is due at the present time."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger, tasks
from billing.ledger.models import Audit, Checkpoint, Grant, Wallet
from billing.models import Mail
from billing.notifications import card_expiry
from billing.promotions import referrals
from billing.purchases import auto_top_up, plan_conflicts
from billing.webhooks import events, reconciliation
from tests.usage.spending import forget_newest_entry

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("task", "module", "function"),
    [
        (tasks.process_events, events, "process_waiting"),
        (tasks.close_surplus_plans, plan_conflicts, "carry_out"),
        (tasks.top_up, auto_top_up, "buy_for_low_accounts"),
        (tasks.reward_referrals, referrals, "reward_all_due"),
        (tasks.reconcile, reconciliation, "run"),
        (tasks.warn_of_expiry, card_expiry, "queue_due"),
        (tasks.settle_due, ledger, "settle_due"),
    ],
)
def test_each_task_passes_the_present_time(
    task: Any, module: Any, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[datetime] = []
    monkeypatch.setattr(module, function, times.append)
    before = timezone.now()
    task()
    (passed,) = times
    assert before <= passed <= timezone.now()


def test_what_is_due_is_settled_and_what_is_not_stays(account: Account) -> None:
    now = timezone.now()
    forget_newest_entry(account)
    for key, ends in ("past", now - timedelta(hours=1)), ("future", now + timedelta(hours=1)):
        ledger.grant(
            account_id=account.pk, credits=Decimal(5), kind="top_up", label=key, key=key,
            now=now - timedelta(days=2), expires_at=ends,
        )  # fmt: skip
    tasks.settle_due()
    assert dict(Grant.objects.filter(purchase_id=None, kind="top_up").values_list("label", "open")) == {
        "past": False, "future": True,
    }  # fmt: skip


@pytest.mark.parametrize(("days", "is_warned"), [(6, True), (8, False)])
def test_credits_are_warned_of_a_week_ahead(account: Account, days: int, is_warned: bool) -> None:
    now = timezone.now()
    forget_newest_entry(account)
    ledger.grant(
        account_id=account.pk, credits=Decimal(5), kind="top_up", label="Pack", key="pack",
        now=now - timedelta(days=30), expires_at=now + timedelta(days=days),
    )  # fmt: skip
    tasks.warn_of_expiry()
    assert Mail.objects.filter(template="credits_expiring").exists() is is_warned


def test_a_checkpoint_covers_the_wallets_that_moved(account: Account) -> None:
    tasks.checkpoint_ledger()
    assert Checkpoint.objects.get().moved >= 1


def test_the_ledger_is_audited_once_a_day_and_weekly_as_a_whole(account: Account, clock: Any) -> None:
    tasks.audit_ledger()
    tasks.audit_ledger()
    assert [one.is_full for one in Audit.objects.all()] == [True]
    for _ in range(8):
        clock.shift(timedelta(days=1, minutes=1))
        tasks.audit_ledger()
    full = [one.is_full for one in Audit.objects.order_by("pk")]
    assert len(full) == 9 and sum(full) == 2, full
    assert Audit.objects.filter(findings=[]).count() == 9


def test_an_audit_that_finds_something_is_an_alert(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(tasks.log, "error", lambda name, **values: logged.append((name, values)))
    monkeypatch.setattr(ledger.audit, "is_due", lambda now: True)
    tasks.audit_ledger()
    assert logged == []
    Wallet.objects.filter(pk=account.pk).update(balance=99)
    tasks.audit_ledger()
    ((name, values),) = logged
    assert (name, values["alert"], values["findings"] > 0) == ("ledger_audit_found", True, True)
