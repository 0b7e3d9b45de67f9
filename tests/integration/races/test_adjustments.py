"""Adjustments of credits by several people at once, with real threads and commits."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import Account, User
from billing import adjustments, ledger
from billing.models import CreditAdjustment
from core.models import StaffAct
from tests.billing.ledger.state import broken
from tests.conftest import person
from tests.integration.races.test_payments import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault("Z6")]


def outcome(act: Any) -> str:
    try:
        return str(act().status)
    except adjustments.AdjustmentRefused:
        return "refused"


def test_approvals_and_a_refusal_at_once_apply_once_and_forms_sent_at_once_are_counted_together(
    transactional_db: None, settings: Any
) -> None:
    settings.CREDITS_WITHOUT_APPROVAL = 100
    call_command("load_catalogue", verbosity=0)
    account = Account.objects.get(person=person("alice"))
    people = [person(name, is_staff=True, is_superuser=True) for name in ("erin", "frank", "gina", "hal")]
    now, start = timezone.now(), ledger.balance(account.pk, timezone.now()).total

    def make(credits: int, by: User, token: Any) -> CreditAdjustment:
        terms: dict[str, Any] = {"account": account, "credits": Decimal(credits), "reason": "r", "now": now}
        return adjustments.make(by=by, token=token, **terms)

    asked = make(500, people[0], uuid4())
    calls = [lambda by=by: adjustments.approve(asked, by=by, now=now) for by in people[:3]]
    calls.append(lambda: adjustments.refuse(asked, by=people[3], reason="no", now=now))
    results = at_once(4, lambda number: outcome(calls[number]))
    asked.refresh_from_db()
    assert sorted(results) in (["applied", "refused", "refused", "refused"], ["refused"] * 4)
    expected = start + (500 if asked.status == "applied" else 0)
    assert ledger.balance(account.pk, now).total == expected

    token = uuid4()  # one form, sent five times at once
    at_once(5, lambda number: outcome(lambda: make(10, people[0], token)))
    expected += 10
    assert ledger.balance(account.pk, now).total == expected

    made = at_once(4, lambda number: outcome(lambda: make(60, people[0], uuid4())))
    assert sorted(made) == ["applied", "requested", "requested", "requested"]
    assert ledger.balance(account.pk, now).total == expected + 60
    assert StaffAct.objects.filter(act="credits.give").count() == 2
    assert broken([account.pk]) == []
