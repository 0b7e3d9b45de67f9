"""The audit log of staff: what is recorded, what is concealed, and that no record changes."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import User
from core import ids, staff_acts
from core.models import StaffAct

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def an_act(**given) -> StaffAct:
    terms = {"actor_id": ids.new_id(), "act": "user.change", "subject": None, "now": NOW}
    return staff_acts.record(**{**terms, **given})


@pytest.mark.owner
@pytest.mark.parametrize(
    "statement",
    [
        "update core_staffact set reason = 'another'",
        "delete from core_staffact",
        "truncate core_staffact",
        "insert into core_staffact select * from core_staffact on conflict (id) do update set reason = ''",
    ],
)
def test_the_database_refuses_to_change_a_record_to_its_owner_too(statement):
    an_act(reason="asked")
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert StaffAct.objects.get().reason == "asked"


def test_values_are_stored_as_json_and_secrets_are_not(alice):
    act = an_act(
        subject=alice,
        before={"credits": Decimal("1.500000"), "at": NOW, "groups": [alice], "limit": None, "active": True},
        after={
            "secret": "whsec_1",
            "nested": {"api_token": "t", "name": "n"},
            "raw": b"bytes",
            "password": "p",
        },
    )
    act.refresh_from_db()
    assert act.before == {
        "credits": "1.500000",
        "at": NOW.isoformat(),
        "groups": [str(alice.pk)],
        "limit": None,
        "active": True,
    }
    assert act.after == {
        "secret": "…",
        "nested": {"api_token": "…", "name": "n"},
        "raw": "…",
        "password": "…",
    }
    assert (act.subject_type, act.subject_id, act.account_id) == ("accounts.user", str(alice.pk), None)
    hidden = staff_acts.values(staff_acts.fields_of(alice))
    assert hidden["password"] == "…"


def test_the_account_is_that_of_the_subject(alice, account_of):
    account = account_of(alice)
    assert an_act(subject=account).account_id == account.pk
    assert an_act(subject=account.memberships.get()).account_id == account.pk


@pytest.mark.django_db(transaction=True)
def test_an_act_outside_of_a_transaction_is_refused():
    with pytest.raises(RuntimeError):
        an_act()
    assert not StaffAct.objects.exists()


def test_an_act_that_fails_leaves_no_record(alice):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        User.objects.filter(pk=alice.pk).update(first_name="X")
        an_act(subject=alice)
        1 / 0  # noqa: B018
    assert not StaffAct.objects.exists()
