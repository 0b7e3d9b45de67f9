"""Forms of staff that were opened before something changed: they write what was edited, and nothing else."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import admin_forms
from accounts.models import Account, Membership, StaffNote, User
from billing import erasure
from billing.models import Promotion
from billing.staff import promotions
from tests.billing.conftest import stripe_api as stripe_api
from tests.forms.staff_promotions import SPAN
from tests.forms.test_staff import inline_counts

pytestmark = pytest.mark.django_db
NOTE = {"text": "Ada called about a refund"}


def sent(browser: Client, path: str, **fields: Any) -> Any:
    return browser.post(path, fields | inline_counts(browser, path), follow=True)


def during(monkeypatch: pytest.MonkeyPatch, form: type, act: Callable[[], object]) -> None:
    """Let something happen after the form's row was read and before it is saved."""
    clean = form.clean  # type: ignore[attr-defined]

    def clean_meanwhile(self: Any) -> Any:
        act()
        return clean(self)

    monkeypatch.setattr(form, "clean", clean_meanwhile)


def test_a_use_that_is_counted_while_staff_save_a_promotion_stays_counted(
    staff_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    terms = {"gives": "credits", "credits": 5, "total_limit": 3, "ends_at": now + timedelta(days=9)}
    made = Promotion.objects.create(code="RUSH", label="Rush", starts_at=now, **terms)
    path = f"/admin/billing/promotion/{made.pk}/change/"
    names = ("code", "gives", "credits", "lasts", "percent_off", "per_account", "total_limit")
    data = {name: getattr(made, name) for name in names}
    rows = Promotion.objects.filter(pk=made.pk)
    during(monkeypatch, promotions.PromotionForm, lambda: rows.update(redeemed=2))
    sent(staff_client, path, **data | SPAN | {"label": "Hurry"})
    made.refresh_from_db()
    assert (made.label, made.redeemed) == ("Hurry", 2)


def test_nothing_personal_is_written_to_a_customer_who_was_erased_meanwhile(
    staff_client: Client, alice: User, account_of: Callable[[User], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = account_of(alice)
    of_account, of_user = (
        f"/admin/accounts/account/{account.pk}/change/",
        f"/admin/accounts/user/{alice.pk}/change/",
    )
    counts = {path: inline_counts(staff_client, path) for path in (of_account, of_user)}
    named = {"name": "Alice L", "external_id": "alice-17", "zone": "UTC"}
    person = {
        "first_name": "Alice",
        "last_name": "Liddell",
        "language": "",
        "is_active": "on",
        "role": "none",
    }

    def state() -> Any:
        return (
            Account.objects.filter(pk=account.pk).values("name", "external_id", "erased_at").get(),
            User.objects.filter(pk=alice.pk).values("email", "first_name", "last_name", "is_active").get(),
            StaffNote.objects.filter(account=account).count(),
            Membership.objects.filter(account=account).count(),
        )

    closed = Account.objects.filter(pk=account.pk)
    with monkeypatch.context() as patch:
        during(patch, admin_forms.AccountChange, lambda: closed.update(erased_at=timezone.now()))
        page = staff_client.post(of_account, named | counts[of_account], follow=True)
    assert "This account was deleted" in page.content.decode()
    assert closed.get().name != "Alice L"
    erasure.erase(alice, timezone.now(), shown=Decimal(10**9))
    erased = state()
    assert "alice" not in str(erased).lower()
    staff_client.post(of_account, named | counts[of_account])
    staff_client.post(of_user, person | counts[of_user])
    page = staff_client.post(f"/admin/accounts/account/{account.pk}/customer/", NOTE, follow=True)
    assert "This account was deleted" in page.content.decode()
    staff_client.post(
        "/admin/accounts/membership/add/", {"account": account.pk, "user": alice.pk, "role": "owner"}
    )
    assert state() == erased
