"""Limits and quotas are exact and count once in a batch that one statement charges."""

import datetime as dt
import uuid
from typing import Any

import pytest

from billing import ledger
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account
from tests.billing.ledger.statement import used

pytestmark = pytest.mark.django_db
HOUR, INSTANT = dt.timedelta(hours=1), dt.timedelta(microseconds=1)
MIDNIGHT = NOON + DAY / 2
PROJECT, MEMBER, KEY = (uuid.UUID(int=n) for n in (11, 12, 13))
NAMES = {"project": "project_id", "member": "member_id", "key": "api_key_id"}
SUBJECTS = {"project": PROJECT, "member": MEMBER, "key": KEY}
KINDS = pytest.mark.parametrize("kind", list(NAMES))


def limit(account, kind: str, maximum: str | None, period: str = "day", now=NOON, subject: Any = None):
    amount = None if maximum is None else D(maximum)
    name = str(subject or SUBJECTS.get(kind, "files"))
    return ledger.set_limit(
        account_id=account, kind=kind, subject=name, period=period, maximum=amount, now=now
    )


def of(kind: str) -> dict[str, uuid.UUID]:
    return {NAMES[kind]: SUBJECTS[kind]}


@pytest.fixture
def account(db: None) -> uuid.UUID:
    account = new_account()
    give(account, "1000", "pack", now=NOON - 60 * DAY)
    return account


class TestInALargeBatch:
    """Sixty uses, which one statement charges; above a limit they are charged one by one."""

    def uses(self, account, amount, count=60, **terms):
        return [charge_request(account, amount, f"use {n}", **terms) for n in range(count)]

    @pytest.mark.parametrize(("maximum", "charged"), [("60", 60), ("59.999999", 59), ("12", 12), ("0", 0)])
    def test_a_limit_is_exact(self, account, maximum, charged):
        limit(account, "project", maximum)
        outcomes = ledger.charge_many(self.uses(account, "1", **of("project")), NOON)
        kinds = [type(one).__name__ for one in outcomes]
        assert kinds == ["Charged"] * charged + ["LimitReached"] * (60 - charged)
        assert used(account) == {"project": str(charged)}

    @pytest.mark.parametrize(("maximum", "charged"), [("180", 60), ("179", 59)])
    def test_a_quota_counts_the_number_of_each_use(self, account, maximum, charged):
        limit(account, "quota", maximum, "ever")
        outcomes = ledger.charge_many(self.uses(account, "1", quota=("files", 3)), NOON)
        assert sum(isinstance(one, ledger.Charged) for one in outcomes) == charged
        assert used(account) == {"quota": str(3 * charged)}

    def test_every_limit_counts_its_own_uses(self, account):
        for kind in NAMES:
            limit(account, kind, "100")
        limit(account, "quota", "100")
        uses = [
            *self.uses(account, "1", 10, **of("project")),
            *[charge_request(account, "0.5", f"member {n}", **of("member") | of("key")) for n in range(20)],
            *[charge_request(account, "0", f"file {n}", quota=("files", 2)) for n in range(30)],
        ]
        assert {type(one) for one in ledger.charge_many(uses, NOON)} == {ledger.Charged}
        assert used(account) == {"project": "10", "member": "10", "key": "10", "quota": "60"}

    def test_replays_do_not_count_again(self, account):
        limit(account, "project", "60")
        uses = self.uses(account, "1", **of("project"))
        ledger.charge_many(uses, NOON)
        again = ledger.charge_many(uses, NOON)
        assert [one.replayed for one in again] == [True] * 60
        assert used(account) == {"project": "60"}

    def test_the_limit_of_one_account_does_not_stop_another(self, account):
        other = new_account()
        give(other, "100")
        limit(account, "project", "1")
        uses = [*self.uses(account, "1", 30, **of("project")), *self.uses(other, "1", 30, **of("project"))]
        outcomes = ledger.charge_many(uses, NOON)
        assert sum(isinstance(one, ledger.Charged) for one in outcomes[:30]) == 1
        assert sum(isinstance(one, ledger.Charged) for one in outcomes[30:]) == 30
