"""Lists of the ledger in the admin, whose tables have millions of rows."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account
from billing.models import Charge
from tests.usage.spending import give, spend

pytestmark = pytest.mark.django_db


def test_lists_of_the_ledger_neither_count_nor_read_all_rows(staff_client: Client, account: Account) -> None:
    give(account, "5", timezone.now())
    spend(account, "2", timezone.now())
    for name in ("wallet", "grant", "entry", "charge"):
        with CaptureQueriesContext(connection) as queries:
            assert staff_client.get(f"/admin/billing/{name}/").status_code == 200
        for query in queries:
            assert "COUNT(" not in query["sql"] and "DISTINCT" not in query["sql"], query["sql"]


def test_charges_are_found_by_what_covered_them(staff_client: Client, account: Account) -> None:
    plain, covered = (
        Charge.objects.get(pk=spend(account, "0", timezone.now(), covered_by=by).charge_id).public_id
        for by in (None, "own_key")
    )
    for value, found in {"": {plain, covered}, "own_key": {covered}, "unlimited": set()}.items():
        page = staff_client.get("/admin/billing/charge/", {"covered_by": value}).content.decode()
        assert {one for one in (plain, covered) if one in page} == found
