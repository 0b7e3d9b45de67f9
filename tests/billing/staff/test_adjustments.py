"""Credits in the admin: the pages, a form that is sent again, and what is sent by hand."""

import pytest
from django.utils import timezone

from accounts import staff_roles
from accounts.models import User
from billing import ledger
from billing.models import CreditAdjustment
from tests.conftest import person

pytestmark = [pytest.mark.django_db, pytest.mark.fault("Z6")]


def client_of(role, by, name, signed_in):
    user = person(name)
    staff_roles.assign(user, role, by=by)
    return signed_in(User.objects.get(pk=user.pk))


def test_two_people_move_many_credits_once(staff, alice, account_of, signed_in):
    account, start = account_of(alice), ledger.balance(account_of(alice).pk, timezone.now()).total
    erin, frank, sue = (
        client_of(role, staff, name, signed_in)
        for role, name in (("finance", "erin"), ("finance", "frank"), ("support", "sue"))
    )
    page = f"/admin/accounts/account/{account.pk}/credits/"
    token = erin.get(page).context["form"]["token"].value()
    form = {"direction": "give", "amount": "5000", "reason": "outage", "token": str(token)}
    for _ in range(2):  # a form sent again
        assert erin.post(page, form).status_code == 302
    adjustment = CreditAdjustment.objects.get()
    decide = f"/admin/billing/creditadjustment/{adjustment.pk}/decide/"
    assert "Nobody approves their own request" in erin.get(decide).content.decode()
    erin.post(decide, {"choice": "approve", "reason": ""})  # by hand: the page has no such button
    assert sue.post(decide, {"choice": "approve", "reason": ""}).status_code == 403
    assert erin.post(f"/admin/billing/creditadjustment/{adjustment.pk}/change/", form).status_code == 403
    assert ledger.balance(account.pk, timezone.now()).total == start
    assert "5,000" in frank.get(decide).content.decode()
    for _ in range(2):
        assert frank.post(decide, {"choice": "approve", "reason": ""}).status_code == 302
    assert ledger.balance(account.pk, timezone.now()).total == start + 5000
    assert "Adjustments to approve" in frank.get("/admin/").content.decode()
    sue.post(page, form | {"amount": "1", "token": "0198a6c0-0000-7000-8000-000000000002"})
    own = CreditAdjustment.objects.get(credits=1)
    assert own.status == "requested"
    withdrawn = {"choice": "refuse", "reason": "a mistake"}
    assert sue.post(f"/admin/billing/creditadjustment/{own.pk}/decide/", withdrawn).status_code == 302
    own.refresh_from_db()
    assert own.status == "withdrawn"


def test_taking_too_much_is_refused_at_the_field(staff, alice, account_of, signed_in):
    page = f"/admin/accounts/account/{account_of(alice).pk}/credits/"
    token = "0198a6c0-0000-7000-8000-000000000002"
    response = signed_in(staff).post(
        page, {"direction": "take", "amount": "999999", "reason": "r", "token": token}
    )
    assert "More cannot be taken" in response.context["form"].errors["amount"][0]
    assert not CreditAdjustment.objects.exists()


def test_members_see_the_reason_and_not_the_person(staff, alice, account_of, signed_in):
    page = f"/admin/accounts/account/{account_of(alice).pk}/credits/"
    token = "0198a6c0-0000-7000-8000-000000000002"
    form = {"direction": "give", "amount": "2.5", "reason": "For the outage", "token": token}
    assert signed_in(staff).post(page, form).status_code == 302
    history = signed_in(alice).get("/history/").content.decode()
    assert "For the outage" in history
    assert staff.email not in history
