"""Search in the history: by public id, by amount, or by service, project and conversation of a call.

Invariant: the sums of usage only exclude days on which nothing can match, so a result never depends on how
far they are. With them a search that finds little looks at few of an account's 100,000 charges.
"""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils.formats import get_format

from accounts import zones
from accounts.models import Account, Project
from billing import ledger
from billing.models import Charge, Grant, Hold
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import texts
from usage.models import SummedAccount

LONGEST = 200
MOST_SPANS = 8  # runs of days with a condition each
_ENTRY = re.compile(r"ent_([0-9a-f]{32})")
_AMOUNT = re.compile(r"[+\-\u2212]?(\d{1,12}(?:\.\d{1,6})?)")
_DAY = timedelta(days=1)
_OF_CHARGE = """exists (select from billing_charge x where x.account_id = %(account)s and x.id = e.charge_id
  and (x.service = any(%(search_services)s) or x.action = any(%(search_services)s)
       or x.project_id = any(%(search_projects)s) or x.conversation ilike %(search_text)s))"""
_DAYS = """
select distinct u.day from usage_usagesum u
 where u.account_id = %(account)s and (
   u.dimension = 'service' and u.value = any(%(search_services)s)
   or u.dimension = 'project' and u.value = any(%(search_projects)s::text[])
   or u.dimension = 'conversation' and u.value ilike %(search_text)s)
 order by u.day
"""

Conditions = tuple[list[str], dict[str, Any]]


def conditions(account: Account, text: str) -> Conditions:
    """What is searched for as SQL about an entry `e`, with its parameters; every entry for an empty text."""
    text = text.strip()
    if not text:
        return [], {}
    for model, column in ((Charge, "charge_id"), (Hold, "hold_id"), (Grant, "grant_id")):
        if found := model.uuid_of(text):
            return [f"e.{column} = %(search_id)s"], {"search_id": found}
    if entry := _ENTRY.fullmatch(text):
        return ["substring(e.hash from 1 for 16) = %(search_hash)s"], {"search_hash": bytes.fromhex(entry[1])}
    if amount := _AMOUNT.fullmatch(text.replace(str(get_format("THOUSAND_SEPARATOR")), "")):
        return ["abs(e.credits) = %(search_amount)s"], {"search_amount": Decimal(amount[1])}
    return _of_calls(account, text)


def _of_calls(account: Account, text: str) -> Conditions:
    """Entries of charges with the text in the name of their service, action or project or as conversation."""
    words = text.casefold()
    services = catalogue_cache.current().services.values()
    keys = [
        one.key
        for one in services
        if words in f"{one.name}\n{texts.translated(one.name)}\n{one.key}".casefold()
    ]
    project = Project.uuid_of(text)
    own = Project.objects.filter(account=account)
    projects = own.filter(pk=project) if project else own.filter(name__icontains=text)
    parameters = {
        "search_services": keys,
        "search_projects": list(projects.values_list("pk", flat=True)),
        "search_text": "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%",
    }
    # the sums have services and not actions
    has_actions = any(one.kind == "action" for one in services if one.key in keys)
    spans = None if has_actions else _spans(account, parameters)
    if spans is None:
        return [_OF_CHARGE], parameters
    within = [f"e.seq > {span.after} and e.seq <= {span.until}" for span in spans]
    return [" or ".join(within) or "false", _OF_CHARGE], parameters


def _spans(account: Account, parameters: dict[str, Any]) -> Sequence[ledger.Span] | None:
    """The entries of the days with a match and those that are not summed yet; None: on any day."""
    summed = SummedAccount.objects.filter(pk=account.pk, zone=account.zone).first()
    if summed is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, parameters | {"account": account.pk})
        runs = runs_of([day for (day,) in cursor.fetchall()])
    zone = ZoneInfo(account.zone)
    spans = [
        ledger.span(account.pk, start=zones.midnight(first, zone), end=zones.midnight(last + _DAY, zone))
        for first, last in runs
    ]
    return [*spans, ledger.span(account.pk, start=summed.until, end=None)]


def runs_of(days: Sequence[date]) -> list[tuple[date, date]]:
    """First and last day of each run of consecutive days, in order; the oldest runs are joined to one."""
    runs: list[tuple[date, date]] = []
    for day in days:
        if runs and day - runs[-1][1] == _DAY:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    if len(runs) > MOST_SPANS:
        runs[: -MOST_SPANS + 1] = [(runs[0][0], runs[-MOST_SPANS][1])]
    return runs
