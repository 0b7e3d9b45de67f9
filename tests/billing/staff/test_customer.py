"""The page of a customer: how it is found, what it shows and to whom, and how many queries it needs."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import api_keys, erasure, staff_roles
from accounts.models import Account, Project, StaffNote, User
from billing import adjustments, ledger
from billing.models import (
    BillingProfile,
    Charge,
    Dispute,
    Mail,
    Purchase,
    Refund,
    StripeEvent,
    Subscription,
    SurplusSubscription,
)
from billing.staff import customer_search
from core.models import StaffAct
from tests.conftest import person
from tests.usage.spending import give, spend

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(alice, account_of) -> Account:
    """Alice's account, with something of everything."""
    now, account = timezone.now(), account_of(alice)
    Account.objects.filter(pk=account.pk).update(zone="Asia/Kathmandu", external_id="our-17", name="Alice L")
    BillingProfile.objects.create(
        account=account, stripe_customer_id="cus_A1", card_id="pm_1", card_brand="visa", card_last4="4242"
    )
    Subscription.objects.filter(account=account).update(stripe_subscription_id="sub_A1")
    SurplusSubscription.objects.create(account=account, stripe_subscription_id="sub_A2", created_at=now)
    purchase = Purchase.objects.create(
        account=account,
        kind="pack",
        origin="page",
        offer="small",
        label="Small pack",
        credits=1_234_567,
        amount=1_234_567,
        list_amount=1_234_567,
        currency="usd",
        status="paid",
        idempotency_key="k",
        stripe_payment_id="pi_A1",
        stripe_invoice_id="in_A1",
        stripe_session_id="cs_A1",
        stripe_subscription_id="sub_A3",
        invoice_number="2026-00017",
        created_at=now,
        paid_at=now,
    )
    common = {"account": account, "purchase": purchase, "amount": 500, "currency": "usd", "created_at": now}
    Refund.objects.create(**common, status="requested", stripe_refund_id="re_A1", buyer_reason="A mistake")
    Dispute.objects.create(
        **common, stripe_dispute_id="dp_A1", stripe_status="needs_response", reason="fraud"
    )
    Mail.objects.create(
        account=account, key="m", template="receipt", recipients=[alice.email], created_at=now, sent_at=now
    )
    Project.objects.create(account=account, name="Bot", created_at=now)
    give(account, "1234567.5", now)
    spend(account, "2.25", now)
    StripeEvent.objects.create(
        stripe_id="evt_A1",
        type="charge.succeeded",
        payload={"data": {"object": {"id": "ch_A1", "payment_intent": "pi_A1", "customer": "cus_A1"}}},
        happened_at=now,
        received_at=now,
    )
    account.refresh_from_db()
    return account


def page(account) -> str:
    return f"/admin/accounts/account/{account.pk}/customer/"


def test_every_name_and_id_finds_the_one_customer(account, alice, charlie, staff, signed_in):
    EmailAddress.objects.create(user=alice, email="alice@second.example", verified=True)
    key = api_keys.issue(
        kind="account", name="p", scopes=["read"], account=account, created_by=alice, now=timezone.now()
    )
    charge = Charge.objects.get(account=account)
    terms = [alice.email.upper(), "alice@second.example", "Alice L", "alice l", "our-17", "2026-00017"]
    terms += [account.public_id, alice.public_id, key.key.public_id, charge.public_id]
    terms += [
        account.purchases.get().public_id,
        account.refunds.get().public_id,
        account.disputes.get().public_id,
    ]
    terms += [account.projects.get().public_id, account.subscription.public_id]
    terms += ["cus_A1", "pi_A1", "in_A1", "cs_A1", "re_A1", "dp_A1", "ch_A1", "evt_A1", " pi_A1 "]
    terms += ["sub_A1", "sub_A2", "sub_A3"]
    for term in terms:
        assert customer_search.find(term) == [account], term
    for term in ("", " ", "cus_B", "pi_", "ch_none", "acct_" + "0" * 32, "nobody@example.org", "\0", "%"):
        assert customer_search.find(term) == [], term
    browser = signed_in(staff)
    assert browser.get("/admin/accounts/account/find/", {"q": "pi_A1"}).url == page(account)
    assert (
        "No account was found"
        in browser.get("/admin/accounts/account/find/", {"q": "<script>x"}).content.decode()
    )
    both = browser.get("/admin/accounts/account/find/", {"q": "example.org"}).context["accounts"]
    assert {account.pk, Account.objects.get(person=charlie).pk} <= {one.pk for one in both}


def test_the_page_shows_everything_with_units_and_both_local_times(account, alice, staff, signed_in):
    Account.objects.filter(person=staff).update(zone="America/New_York")
    Purchase.objects.update(paid_at=datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
    text = signed_in(staff).get(page(account)).content.decode()
    for shown in (
        "1,234,567.5",  # a grant, grouped
        "$12,345.67",
        "4242",
        "cus_A1",
        "sub_A1",
        "Small pack",
        "A mistake",
        "fraud",
        "receipt",
        "17:45 +0545",  # 12:00 UTC there
        "07:00 EST",  # and for the staff
        alice.email,
    ):
        assert shown in text, shown


def test_grants_are_listed_in_the_order_in_which_they_are_spent(account, staff, signed_in):
    context = signed_in(staff).get(page(account)).context
    rows = next(one for one in context["sections"] if one.needs == "billing.view_grant").rows
    assert [row[1] for row in rows] == [
        grant.label for grant in ledger.balance(account.pk, timezone.now()).grants
    ]


def test_a_disputed_purchase_is_not_only_called_paid(account, staff, signed_in):
    browser = signed_in(staff)
    section = next(
        one for one in browser.get(page(account)).context["sections"] if one.needs == "billing.view_purchase"
    )
    assert section.rows[0][1:3] == ["Paid", "Open"]
    cell = re.compile(r"field-dispute_[^>]*>([^<]*)<")
    assert cell.findall(browser.get("/admin/billing/purchase/").content.decode()) == ["Open"]
    Dispute.objects.update(status="won")
    assert cell.findall(browser.get("/admin/billing/purchase/").content.decode()) != ["Open"]


def test_notes_are_kept_recorded_and_erased_with_the_account(account, alice, staff, signed_in):
    browser = signed_in(staff)
    assert browser.post(page(account), {"text": "Prefers <b>mail</b>"}).status_code == 302
    text = browser.get(page(account)).content.decode()
    assert "Prefers &lt;b&gt;mail&lt;/b&gt;" in text
    sections = browser.get(page(account)).context["sections"]
    [shown] = next(one for one in sections if one.needs == "core.view_staffact").rows
    assert ("staffnote.add" in shown[0], shown[1]) == (True, staff.email)
    act = StaffAct.objects.get()
    assert (act.act, act.account_id, "mail" in str(act.after)) == ("staffnote.add", account.pk, False)
    assert "Prefers" not in signed_in(alice).get("/").content.decode()
    erasure.anonymise(alice, [account], timezone.now())
    assert not StaffNote.objects.exists()


@pytest.mark.fault("Z6")
def test_sections_need_their_permissions(account, staff, signed_in):
    helper = person("helper", is_staff=True)
    browser = signed_in(helper)
    assert browser.get(page(account)).status_code == 403
    assert browser.get("/admin/accounts/account/find/").status_code == 403
    helper.user_permissions.set(staff_roles.permissions_named(["accounts.view_account"]))
    response = browser.get(page(account))
    assert (response.status_code, response.context["sections"], response.context["figures"]) == (200, [], [])
    for hidden in ("$12,345.67", "Balance", "Add note"):
        assert hidden not in response.content.decode()
    assert browser.post(page(account), {"text": "x"}).status_code == 403
    unknown = f"/admin/accounts/account/{uuid4()}/customer/"
    assert browser.get(unknown).status_code == 404


def test_the_page_needs_at_most_25_queries_however_much_there_is(account, alice, staff, signed_in):
    finance = person("erin")
    staff_roles.assign(finance, staff_roles.Role.FINANCE, by=staff)
    erin = User.objects.get(pk=finance.pk)
    now = timezone.now()
    for number in range(30):
        spend(account, "0.1", now)
        terms = {"scopes": ["read"], "account": account, "created_by": alice, "now": now}
        if number < 5:
            api_keys.issue(kind="account", name=f"k{number}", **terms)
            amount = Decimal(number + 1)
            adjustments.make(account=account, credits=amount, reason="r", token=uuid4(), by=erin, now=now)
    for browser in (signed_in(staff), signed_in(erin)):
        browser.get(page(account))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert browser.get(page(account)).status_code == 200
        listed = [query["sql"][:90] for query in queries]
        assert len(queries) <= 25, "\n".join(listed)
