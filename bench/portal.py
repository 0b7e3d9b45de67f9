"""Pages of an account with 100,000 charges: server time of the dashboard, the history and a statement.

The charges lie in the 30 days that the dashboard adds up, each with its entry, over 12 services, 6 projects and 5,000
conversations; the newest 2,000 are not in the stored sums of usage. A page is requested through Django's handler with
a signed-in session; times include its queries, and are medians.
"""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import registration
from accounts.models import Account, User
from bench import growth, measures
from bench.measures import Measure
from billing import ledger
from billing.notifications import monthly_budgets
from usage.sums import folding

CHARGES = 100_000
EMAIL = "portal@bench.example"
TIMES = 25
PAGES = {
    "dashboard_ms": "/",
    "conversations_ms": "/usage/?by=conversation",
    "history_ms": "/history/",
    "statement_ms": "/history/statement/",
    "hours_ms": "/usage/?since={today}&until={today}",
    "forecast_ms": "/usage/forecast/",
    "plan_advice_ms": "/usage/plans/",
    "swap_ms": "/usage/swap/?service=kimi-k2&other=gpt-4o",
    "refusals_ms": "/refusals/",
    "budget_ms": "/billing/budget/",
}
REFUSED_HOURS, REFUSED_GROUPS = 24 * 30, 10

# Rows such as charges leave, for timing only: the entries' hashes are not a chain.
PROJECTS = """
insert into accounts_project(id, account_id, name, created_at)
select md5('project ' || n)::uuid, %(account)s, 'Project ' || n, now() - interval '31 days' from generate_series(0, 5) n
"""
ROWS = """
with uses as materialized (
  select n, ledger_new_id(now()) as id, now() - interval '30 days' * (%(charges)s - n + 1) / %(charges)s as at
  from generate_series(%(first)s, %(last)s::bigint) n
), charged as (
  insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id, member_id,
    conversation, detail, drawn, created_at, uncollected, returned, balance_before, balance_after)
  select id, %(account)s, 'portal-' || n, '\\x00', 0.25,
    coalesce(('{claude-sonnet-4,kimi-k2,gpt-4o,gpt-4.1,gemini-2.5-pro,gemini-2.5-flash}'::text[])[n %% 12 + 1], 'service-' || n %% 12),
    '', md5('project ' || n %% 6)::uuid,
    case when n %% 3 = 0 then %(member)s::uuid end, 'conversation ' || n / 20,
    '{"lines": [["tokens", 1840, "2", 5000, "0.25"]], "usage": {"input_tokens": 1200, "output_tokens": 640}}', '[]', at, 0, 0, 1, 0.75
  from uses
)
insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id, reason, actor,
  created_at, hash)
select %(account)s, 10 + n, 'charge', g.id, -0.25, 0, 1, 100000 - n * 0.25, u.id, '', '', at, sha256(uuid_send(u.id))
from uses u, (select id from billing_grant where account_id = %(account)s and kind = 'top_up') g
"""
REFUSED = """
insert into usage_refusedcalls(account_id, hour, code, limit_kind, subject, service, member_id, calls, first_at, last_at, figures)
select %(account)s, h.hour, 'insufficient_credits', '', '', 'service-' || n, null, 3, h.hour, h.hour + interval '1 minute',
  '{"needed": "12.5", "available": "3"}'
from generate_series(1, %(groups)s) n, (
  select date_trunc('hour', now()) - make_interval(hours => hours) as hour from generate_series(1, %(hours)s) hours) h
"""
MOVED = """
update billing_wallet w set (seq, moved_at) = (select max(e.seq), max(e.created_at) from billing_entry e
  where e.account_id = w.account_id and e.kind = 'charge'), next_due_at = null where account_id = %(account)s
"""


def portal_ms(charges: int = CHARGES) -> dict[str, Measure]:
    """Return the median server times of the pages, in milliseconds."""
    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("createcachetable", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    # a statement asks the worker for a checkpoint twice a minute at most
    cache.set("checkpoint-requested", True, timeout=None)
    user = User.objects.create_user(email=EMAIL)
    write(registration.open_personal_account(user, timezone.now()), user, charges)
    client = Client()
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
    today = timezone.now().date().isoformat()
    paths = {name: path.format(today=today) for name, path in PAGES.items()}
    return {name: (page_ms(client, path), f"at {charges:,} charges") for name, path in paths.items()}


def write(account: Account, user: User, charges: int) -> None:
    """Add the charges, and all but the newest to the sums of usage."""
    ledger.grant(
        account_id=account.pk, credits=Decimal(100_000), kind="top_up", label="Pack", key="portal", now=timezone.now()
    )  # fmt: skip
    values: dict[str, Any] = {"account": account.pk, "member": user.pk, "charges": charges}
    summed = charges - folding.LEAST_ENTRIES
    budget_of_month = {"credits": Decimal(50_000), "pauses": False}
    with connection.cursor() as cursor:
        cursor.execute(PROJECTS, values)
        cursor.execute(REFUSED, values | {"groups": REFUSED_GROUPS, "hours": REFUSED_HOURS})
        for first, last in ((1, summed), (summed + 1, charges)):
            cursor.execute(ROWS, values | {"first": first, "last": last})
            cursor.execute(MOVED, values)
            if last == summed:
                folding.fold(account.pk)
        cursor.execute("vacuum (analyze) usage_usagesum")
    growth.refresh_statistics()
    monthly_budgets.save(account.pk, now=timezone.now(), **budget_of_month)


def page_ms(client: Client, path: str) -> float:
    """Return the median time of the page, in milliseconds."""

    def page() -> None:
        response = client.get(path)
        assert response.status_code == 200, (path, response.status_code)

    page()
    return measures.median_ms(page, times=TIMES)
