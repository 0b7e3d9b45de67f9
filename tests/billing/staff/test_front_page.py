"""The admin's first page: payments and refunds by day, the last audit; its colours and landmarks."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, WebhookEndpoint
from accounts.webhook_endpoints import endpoints
from billing import ledger
from billing.models import Audit, Purchase, Refund
from config import admin_charts, admin_colours
from pricing.catalogue import cache as catalogue_cache
from usage.sums import spent

pytestmark = pytest.mark.django_db


def test_payments_and_refunds_of_the_last_thirty_days_are_shown_by_currency_and_day(
    staff_client: Client, paid_purchase: Callable[..., Purchase], clock: Any
) -> None:
    early, late, yen = (paid_purchase(key=key) for key in ("early", "late", "yen"))
    Purchase.objects.filter(pk=yen.pk).update(currency="jpy", amount=500)
    Purchase.objects.filter(pk=early.pk).update(paid_at=timezone.now() - timedelta(days=29))
    now = timezone.now()
    terms = {
        "account": late.account,
        "purchase": late,
        "currency": "usd",
    }
    for number, status in enumerate(("done", "failed", "refused")):
        Refund.objects.create(status=status, amount=250 + number, decided_at=now, created_at=now, **terms)

    dollars, yens = admin_charts.of_money(now)
    bars = json.loads(dollars.data)["datasets"]
    assert len(bars[0]["data"]) == 30
    assert (bars[0]["data"][0], bars[0]["data"][-1]) == (
        f"{early.amount / 100:.2f}",
        f"{late.amount / 100:.2f}",
    )
    assert bars[1]["data"][-1] == "2.50"
    assert not any(Decimal(amount) for amount in bars[0]["data"][1:-1])
    assert (dollars.days[-1].values[1], yens.summary) == ("$2.50", "¥500 received, ¥0 refunded")

    page = staff_client.get("/admin/").content.decode()
    assert "Payments in USD, last 30 days" in page and "Payments in JPY" in page
    clock.shift(86_400)
    tomorrow = json.loads(admin_charts.of_money(timezone.now())[0].data)["datasets"]
    assert [Decimal(amount) > 0 for amount in tomorrow[0]["data"]].count(True) == 1


def test_spent_credits_are_shown_by_day_once_they_are_summed(
    staff_client: Client, account: Account, clock: Any
) -> None:
    def charge(key: str) -> Any:
        request = ledger.ChargeRequest(
            account_id=account.pk, credits=Decimal("1.25"), key=key, service="gpt-4o"
        )
        return ledger.charge(request, timezone.now())

    def shown() -> tuple[list[Decimal], str]:
        [chart] = admin_charts.of_credits(timezone.now())
        [bars] = json.loads(chart.data)["datasets"]
        return [Decimal(amount) for amount in bars["data"][-2:]], chart.summary

    charge("a")
    assert admin_charts.of_credits(timezone.now()) == [], "nothing is summed yet"
    assert spent.store(timezone.now()) == 31 * 24
    assert shown() == ([0, Decimal("1.25")], "1.25 credits spent")
    clock.shift(86_400)
    returned = charge("b")
    ledger.reverse(
        account_id=account.pk, charge_id=returned.charge_id, key="r", reason="x", now=timezone.now()
    )
    charge("c")
    assert admin_charts.of_credits(timezone.now()) == [], "the task is behind"
    assert (spent.store(timezone.now()), spent.store(timezone.now())) == (24 + 2, 0)
    assert shown() == ([Decimal("1.25"), Decimal("1.25")], "2.5 credits spent")
    clock.shift(3600)
    assert shown()[1] == "2.5 credits spent", "the hour that has just ended is not stored yet"
    assert "Credits spent, last 30 days" in staff_client.get("/admin/").content.decode()


def test_the_last_audit_is_shown_with_its_age_or_its_findings(
    staff_client: Client, account: Account, clock: Any
) -> None:
    def shown() -> tuple[str, bool]:
        figure = staff_client.get("/admin/").context["figures"][-1]
        return figure.value, figure.waits

    assert shown() == ("Not run yet", False)
    clock.shift(37 * 3600)
    assert shown() == ("never run", True)
    ledger.audit.run(now=timezone.now())
    clock.shift(3 * 3600)
    assert "3\xa0hours ago, no findings" in staff_client.get("/admin/").content.decode()
    at = timezone.now()
    row = {"wallets": 0, "entries": 0, "totals": {}, "findings": ["a balance differs"]}
    Audit.objects.create(started_at=at, finished_at=at, is_full=True, **row)
    assert "1 findings in the audit of" in staff_client.get("/admin/").content.decode()


def test_endpoints_that_do_not_accept_events_are_counted(staff_client: Client, account: Account) -> None:
    def shown() -> tuple[str, bool]:
        label = "Webhook endpoints that fail"
        figures = staff_client.get("/admin/").context["figures"]
        return next((figure.value, figure.waits) for figure in figures if figure.label == label)

    terms = {"events": ["member.added"], "description": "", "now": timezone.now()}
    made = [
        endpoints.create(account=account, url=f"https://hooks.example.com/{number}", **terms).endpoint
        for number in range(2)
    ]
    assert shown() == ("0", False)
    WebhookEndpoint.objects.filter(pk=made[0].pk).update(failing_since=timezone.now())
    assert shown() == ("1", True)


def test_the_admin_has_the_brands_colours_one_main_landmark_and_names_of_its_regions(
    staff_client: Client, catalogue: None, account: Account
) -> None:
    brand = catalogue_cache.current().brand
    assert brand is not None
    colour = tuple(bytes.fromhex(admin_colours.scale(brand.accent)["600"][1:]))
    for path in ("/admin/", f"/admin/accounts/account/{account.pk}/change/"):
        page = staff_client.get(path).content.decode()
        assert f"--color-primary-600: rgb({', '.join(map(str, colour))})" in page
        assert page.count("<main ") == 1
        names = re.findall(r"data-simplebar-aria-label=\"([^\"]+)\"", page)
        assert len(names) == len(set(names)) > 0
    form = staff_client.get("/admin/accounts/membership/add/").content.decode()
    assert re.findall(r"data-placeholder=\"([^\"]+)\"", form) == ["Account", "User"]
