"""Migration 0004 rewrites the chains of an earlier version in the present form, and refuses a broken one."""

import datetime as dt
import importlib

import pytest
from django.db import connection
from django.db.utils import DatabaseError

from billing import ledger
from billing.ledger import installation
from billing.ledger.models import Charge, Entry, Limit, Wallet
from pricing.models import Service
from tests.billing.ledger.conftest import NOON, D, allowance, charge_request, give, spend
from tests.billing.ledger.state import broken

pytestmark = [pytest.mark.django_db, pytest.mark.owner, pytest.mark.fault("L22")]
migration = importlib.import_module("billing.migrations.0004_ledger_under_hostile_use")

# What the version before 0004 would have left: no entries without a grant, no digests, the former hash.
EARLIER = """
set constraints all immediate;
alter table billing_entry disable trigger user;
delete from billing_entry where grant_id is null;
update billing_entry e set digest = null, seq = -n.seq
  from (select id, row_number() over (partition by account_id order by seq) as seq from billing_entry) n
 where n.id = e.id;
update billing_entry set seq = -seq;
update billing_entry e set hash = c.hash from (
  select id, ledger_chain(sha256(uuid_send(account_id)), concat_ws('|', account_id, seq, kind, grant_id,
      credits, debt, grant_after, balance_after, coalesce(charge_id::text, ''), coalesce(hold_id::text, ''),
      reason, actor, ledger_micros(created_at))) over (partition by account_id order by seq) as hash
  from billing_entry) c
 where c.id = e.id;
update billing_wallet w set seq = (select count(*) from billing_entry e where e.account_id = w.account_id);
alter table billing_entry enable trigger user;
"""


@pytest.fixture
def earlier(account):
    give(account, "100")
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=NOON)
    charged = spend(account, "60", "a")
    spend(account, "0", "free", covered_by="unlimited")
    ledger.reverse(
        account_id=account, charge_id=charged.charge_id, credits=D("5"), key="r", reason="r", now=NOON
    )
    end = NOON + dt.timedelta(hours=1)
    held = ledger.hold(charge_request(account, "20", "h"), expires_at=end, now=NOON)
    ledger.capture(account_id=account, hold_id=held.hold_id, credits=D("7"), key="c", detail={}, now=NOON)
    ledger.hold(charge_request(account, "0", "h0"), expires_at=end, now=NOON)
    ledger.settle([account], end)
    run(EARLIER, migration.FILL)
    return account


def run(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_chains_of_an_earlier_version_get_the_present_form(earlier):
    run(migration.RECHAIN)
    assert broken([earlier]) == []
    assert ledger.audit.run(now=NOON).findings == []
    introduced = Entry.objects.filter(account_id=earlier, grant=None).order_by("seq")
    assert [one.kind for one in introduced] == ["hold", "release", "charge", "correct", "terms"]
    assert Wallet.objects.get(account_id=earlier).seq == Entry.objects.filter(account_id=earlier).count()
    spend(earlier, "1", "later", NOON + dt.timedelta(hours=2))
    assert ledger.audit.run(now=NOON).findings == []


def test_times_that_went_backwards_are_raised(earlier):
    entry = Entry.objects.get(account_id=earlier, seq=1)
    assert entry.created_at == NOON
    run(
        "set constraints all immediate",
        "alter table billing_entry disable trigger user",
        "update billing_entry set created_at = created_at + interval '2 ms' where seq = 1",
        "alter table billing_entry enable trigger user",
        EARLIER,
        migration.FILL,
        migration.RECHAIN,
    )
    times = list(
        Entry.objects.filter(account_id=earlier).order_by("seq").values_list("created_at", flat=True)
    )
    assert times == sorted(times)
    assert broken([earlier]) == []


def test_a_chain_that_was_broken_before_is_refused(earlier):
    run(
        "set constraints all immediate",
        "alter table billing_entry disable trigger user",
        "update billing_entry set reason = 'changed' where seq = 2",
    )
    with pytest.raises(DatabaseError, match="is broken at entry 2"):
        run(migration.RECHAIN)


def test_functions_of_an_earlier_version_with_other_parameters_are_replaced_and_none_remains(account):
    run(
        "drop function ledger_micros(timestamptz) cascade",
        "create function ledger_micros(p_former timestamptz) returns text language sql return 0::text",
        "create function ledger_step(p_state text, p_more text) returns text language sql return p_state",
        "create aggregate ledger_gone(text) (sfunc = ledger_step, stype = text)",
    )
    with connection.schema_editor() as editor:
        migration.remove_former(None, editor)
        installation.install(None, editor)
    with connection.cursor() as cursor:
        cursor.execute("select proname, count(*) from pg_proc where proname like 'ledger%' group by 1")
        counts = dict(cursor.fetchall())
    # these also have the parameters with which the release before calls them
    assert {name for name, count in counts.items() if count > 1} == {
        "ledger_charge",
        "ledger_hold",
        "ledger_hold_child",
    }
    assert not counts.keys() & {"ledger_gone", "ledger_step"}
    give(account, "5")
    assert spend(account, "1").balance_after == 4


def test_charges_of_an_earlier_version_get_their_quota_and_a_quota_counts_what_they_show(account):
    lines = {"lines": [{"meter": "uses", "quantity": "2"}]}
    Service.objects.create(key="upload", name="Upload", kind="action", quota="files", position=1)
    terms = {"account_id": account, "kind": "quota", "period": "month", "maximum": D("9")}
    for subject in ("files", "images"):
        ledger.set_limit(subject=subject, now=NOON, **terms)
    give(account, "10")
    spend(account, "1", "one", service="upload", quota=("files", 2), detail=lines)
    spend(account, "1", "two", service="withdrawn", quota=("images", 3), detail=lines)
    run(
        "set constraints all immediate",
        "alter table billing_charge disable trigger user",
        "update billing_charge set quota = null, quota_count = null",
        migration.FILL_QUOTAS,
        "alter table billing_charge enable trigger user",
    )
    assert list(Charge.objects.order_by("created_at", "id").values_list("quota", "quota_count")) == [
        ("files", 2),
        (None, None),
    ]
    assert dict(Limit.objects.values_list("subject", "used")) == {"files": 2, "images": 0}
