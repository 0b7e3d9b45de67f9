"""The rows of the history escape what users write, and name what happened."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from billing import ledger
from tests.billing.ledger.conftest import NOON, charge_request, give, new_account
from usage.history import pages
from usage.templatetags.history_rows import history_row, history_rows

pytestmark = pytest.mark.django_db


def lines(**uses: Any) -> list[pages.HistoryLine]:
    account = Account.objects.get(pk=new_account())
    give(account.pk, "1000", label="<b>Pack</b>")
    for number in range(3):
        ledger.charge(charge_request(account.pk, "1.5", f"use {number}", **uses), NOON)
    return pages.page_of(account, pages.Filter()).lines


def test_texts_of_users_are_escaped() -> None:
    rows = history_rows(lines(conversation="<script>alert(1)</script>"))
    assert "<script>" not in rows and "<b>" not in rows
    assert rows.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 3
    assert "&lt;b&gt;Pack&lt;/b&gt;" in rows


def test_a_charge_links_to_its_page_and_a_grant_does_not() -> None:
    *charges, grant = lines(conversation="c-81")
    row = history_row(charges[0], is_new=True)
    assert charges[0].charge_id is not None
    assert f'href="/charges/{charges[0].charge_public_id}/"' in row
    assert '<tr id="entry-4" class="is-new">' in row
    assert '<span class="cell-aside">c-81</span>' in row
    assert '<td class="number" data-pad="0">\u22121.5</td>' in row
    assert "<a " not in history_row(grant)
    assert '<td class="number good" data-pad=".00">+1,000</td>' in history_row(grant)


def test_figures_have_two_decimals_and_those_of_a_statement_all() -> None:
    first, second, *_rest = lines()
    first.credits, first.balance_after = Decimal("-37.6659"), Decimal("1994.9359")
    second.credits, second.balance_after = Decimal("-0.000002"), Decimal(2000)
    rows = history_rows([first, second])
    assert '<td class="number" data-pad="" title="\u221237.6659">\u221237.67</td>' in rows
    assert 'data-pad="" title="1,994.9359">1,994.93</td>' in rows, "no more than there is"
    assert '<td class="number" data-pad="">\u22120.000002</td>' in rows
    assert 'data-pad=".00">2,000</td>' in rows
    rows = history_rows([first, second], exact_figures=True)
    assert '<td class="number" data-pad="00">\u221237.6659</td>' in rows
    assert 'data-pad="00">1,994.9359</td>' in rows
    assert 'data-pad=".000000">2,000</td>' in rows


def test_a_long_reason_is_cut() -> None:
    [line, *_rest] = lines()
    line.reason = "r" * 200
    assert "r" * 79 + "\u2026</span>" in history_row(line)


def test_rows_need_no_query() -> None:
    found = lines(conversation="c-81")
    with CaptureQueriesContext(connection) as queries:
        history_rows(found, exact_times=True)
    assert len(queries) == 0


def test_times_are_exact_where_they_are_asked_for() -> None:
    [line, *_rest] = lines()
    line.created_at = datetime.now(UTC) - timedelta(minutes=3)
    line.credits = Decimal(1)
    assert "3 min ago" in history_row(line)
    assert "ago" not in history_rows([line], exact_times=True)
