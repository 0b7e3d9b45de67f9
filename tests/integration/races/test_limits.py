"""Races of limits: a new limit beside charges of its project."""

import uuid

import pytest
from django.db import transaction

from billing import ledger
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account
from tests.integration.races.concurrency import BackgroundCall

pytestmark = pytest.mark.usefixtures("committed")


def test_a_new_limit_counts_what_is_charged_and_returned_between_its_count_and_its_lock():
    account, project, other = new_account(), uuid.uuid4(), uuid.uuid4()
    give(account, "100")

    def charge(key: str, of: uuid.UUID = project) -> ledger.Charged:
        return ledger.charge(charge_request(account, "1", key, project_id=of), NOON)

    first = charge("first")
    with transaction.atomic():
        charge("locks the wallet")
        limit = BackgroundCall(
            lambda: ledger.set_limit(
                account_id=account,
                kind="project",
                subject=str(project),
                period="month",
                maximum=D("50"),
                now=NOON,
            )
        )
        limit.start()
        assert limit.is_blocked()
        charge("meanwhile")
        charge("another project", other)
        ledger.reverse(
            account_id=account, charge_id=first.charge_id, key="r", reason="r", credits=D("0.4"), now=NOON
        )
    assert limit.outcome() == D("2.6")
