"""What the billing page shows of the month: by service and by project."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Project, User
from tests.usage.spending import give, spend

SignedIn = Callable[[User], Client]


def month_of(signed_in: SignedIn, user: User) -> str:
    page = " ".join(signed_in(user).get("/billing/").content.decode().split())
    start = page.index('aria-labelledby="month"')
    return page[start : page.index("</section>", start)]


@pytest.mark.requirement("FLOW-07")
def test_the_billing_page_breaks_the_month_down_by_service_and_project(
    clock: object, alice: User, account_of: Callable[[User], Account], signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    server = Project.objects.create(account=account, name="Server one")
    give(account, "500", now - timedelta(days=30))
    spend(account, "99", now - timedelta(days=25), service="gpt-4o")  # in October
    spend(account, "30", now - timedelta(days=2), project_id=server.pk)
    spend(account, "10.5", now, service="gpt-4o")
    month = month_of(signed_in, alice)
    assert '<span class="stat-figure">40.5</span>' in month and not re.search(r">\s*99\b", month)
    services, projects = month[: month.index("By canvas")], month[month.index("By canvas") :]
    assert services.index("Claude Sonnet 4") < services.index("GPT-4o")
    assert "Server one" in projects and "No canvas" in projects and ">30</span>" in projects


@pytest.mark.requirement("FLOW-07")
def test_small_services_of_the_month_are_one_bar(
    clock: object, alice: User, account_of: Callable[[User], Account], signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "500", now)
    services = [
        "gpt-4o",
        "gpt-4.1",
        "kimi-k2",
        "grok-4",
        "flux-dev",
        "veo-3",
        "claude-sonnet-4",
        "claude-opus-4",
    ]
    for number, service in enumerate(services):
        spend(account, str(Decimal(number + 1)), now, service=service)
    month = month_of(signed_in, alice)
    assert ">Other</a>" in month and '">3</span> <span class="faint">8%' in month


def test_a_month_without_use_says_so(alice: User, signed_in: SignedIn) -> None:
    assert "No usage this month" in month_of(signed_in, alice)
