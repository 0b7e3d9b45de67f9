"""Restored people are those that the product would create, and only where it would create the same."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.forms.models import model_to_dict
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Grant, Subscription
from pricing.models import Plan
from tests import saved_rows
from tests.conftest import CAST, person
from tests.forms.test_pages import undone
from tests.some import some

pytestmark = pytest.mark.django_db


def described(user: User) -> list[dict[str, Any]]:
    account = Account.objects.get(person=user)
    rows = [
        user,
        account,
        Subscription.objects.get(account=account),
        *Grant.objects.filter(account_id=account),
    ]
    names = {"email", "kind", "plan", "state", "anchor_at", "credits", "remaining", "created_at"}
    return [{name: value for name, value in model_to_dict(row).items() if name in names} for row in rows]


@pytest.fixture
def restored(catalogue: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bool]:
    """Restore one of the people, as after many requests."""
    monkeypatch.setattr(saved_rows, "_casts", {})
    monkeypatch.setattr(saved_rows, "least_requests", 0)
    return lambda name: saved_rows.restore_of_cast(name, CAST)


def test_a_restored_person_is_like_one_that_signs_up(
    restored: Callable[[str], bool], clock: time_machine.Traveller
) -> None:
    assert restored("bob")
    found = described(User.objects.get(email="bob@example.org"))
    User.objects.filter(email="bob@example.org").update(email="another@example.org")
    assert found == described(person("bob"))
    assert len(some(found)) > 3


def test_a_restored_persons_account_can_be_used(restored: Callable[[str], bool]) -> None:
    assert restored("alice")
    account = Account.objects.get(person__email="alice@example.org")
    before = ledger.balance(account.pk, timezone.now()).total
    ledger.grant(
        account_id=account.pk, credits=before, kind="bonus", label="more", key="more", now=timezone.now()
    )
    assert ledger.balance(account.pk, timezone.now()).total == 2 * before > 0
    assert ledger.audit.run(now=timezone.now()).findings == []


def test_the_rows_have_the_time_of_the_clock(
    restored: Callable[[str], bool], clock: time_machine.Traveller
) -> None:
    for day in (20, 21, 20):
        clock.move_to(datetime(2026, 11, day, 12, tzinfo=UTC))
        with undone():
            assert restored("alice")
            account = Account.objects.get(person__email="alice@example.org")
            assert account.created_at == timezone.now()


def test_people_beside_one_who_has_signed_up_are_not_copied(restored: Callable[[str], bool]) -> None:
    person("alice")
    assert not restored("bob")


def test_a_person_of_another_catalogue_is_not_restored(restored: Callable[[str], bool]) -> None:
    assert restored("alice")
    Plan.objects.filter(free=True).update(allowances=[])
    assert not saved_rows.restore_of_cast("charlie", CAST)
