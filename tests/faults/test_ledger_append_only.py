"""Entries are append-only: the database refuses every other change, from any user and by any statement."""

import pytest
from django.db import InternalError, connection, transaction
from django.db.utils import DatabaseError
from django.urls import reverse

from billing.ledger.models import Entry
from tests.billing.ledger.conftest import give, new_account, spend
from tests.billing.ledger.state import broken

pytestmark = [pytest.mark.fault("L11"), pytest.mark.owner]


@pytest.fixture
def account(db):
    account = new_account()
    give(account, "10")
    spend(account, "4")
    return account


def assert_refused(account, change) -> None:
    before = list(Entry.objects.order_by("id").values())
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        change()
    assert list(Entry.objects.order_by("id").values()) == before
    assert broken([account]) == []


def first_entry() -> Entry:
    return Entry.objects.order_by("seq")[0]


BY_ORM = {
    "update": lambda: Entry.objects.filter(kind="charge").update(credits=-1),
    "update of the reason only": lambda: Entry.objects.update(reason="changed"),
    "save": lambda: Entry(**{**vars_of(first_entry()), "credits": 99}).save(),
    "delete of one": lambda: first_entry().delete(),
    "delete of all": lambda: Entry.objects.all().delete(),
    "raw delete": lambda: Entry.objects.all()._raw_delete("default"),
    "bulk update": lambda: Entry.objects.bulk_update([first_entry()], ["credits"]),
}

BY_SQL = {
    "update": "update billing_entry set credits = credits + 1",
    "delete": "delete from billing_entry",
    "truncate": "truncate billing_entry",
    "truncate with its sequence": "truncate billing_entry restart identity cascade",
    "merge": "merge into billing_entry e using (select 1) x on true when matched then delete",
    "upsert": "insert into billing_entry select * from billing_entry limit 1 "
    "on conflict (account_id, seq) do update set credits = 99",
}


def vars_of(entry: Entry) -> dict:
    return {field.attname: getattr(entry, field.attname) for field in Entry._meta.concrete_fields}


@pytest.mark.parametrize("statement", BY_ORM)
def test_the_orm_cannot_change_or_remove_an_entry(account, statement):
    assert_refused(account, BY_ORM[statement])


@pytest.mark.parametrize("statement", BY_SQL)
def test_sql_cannot_change_or_remove_an_entry(account, statement):
    with connection.cursor() as cursor:
        assert_refused(account, lambda: cursor.execute(BY_SQL[statement]))


def test_the_admin_can_only_view_an_entry(account, staff, signed_in):
    browser = signed_in(staff)
    entry = first_entry()
    before = list(Entry.objects.order_by("id").values())
    change = reverse("admin:billing_entry_change", args=[entry.pk])
    delete = reverse("admin:billing_entry_delete", args=[entry.pk])
    assert browser.post(change, {"credits": "99"}).status_code == 403
    assert browser.post(delete, {"post": "yes"}).status_code == 403
    assert browser.post(reverse("admin:billing_entry_add"), {"credits": "99"}).status_code == 403
    form = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    browser.post(reverse("admin:billing_entry_changelist"), form)
    assert list(Entry.objects.order_by("id").values()) == before


def test_the_database_itself_refuses_a_change(account):
    with pytest.raises((InternalError, DatabaseError)) as error, transaction.atomic():
        Entry.objects.all().delete()
    assert error.value.__cause__.sqlstate == "23001", "restrict_violation"
