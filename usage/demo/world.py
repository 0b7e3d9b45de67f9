"""The demo world: a user with thirty days of usage and a running budget, a staff user, and API keys.

Invariants: it is created only with the sandbox; creating it again changes nothing that exists, and starts a
budget where the last one has ended; its usage is charged by the same functions as real usage, in order of
time, with the token counts of real calls (usage/data/README.md), in one transaction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_noop

from accounts import api_keys, registration
from accounts.models import Account, ApiKey, Project, User
from billing import ledger
from billing.models import Charge
from pricing import lookup
from pricing.catalogue import cache as catalogue_cache
from pricing.rates.validation import UsageInvalid
from usage import charging
from usage.demo import budget, trace_replay
from usage.demo.trace_replay import TraceCall

EMAIL, PASSWORD = "ada@example.com", "countess-of-lovelace"
STAFF_EMAIL, STAFF_PASSWORD = "staff@example.com", "keeper-of-the-ledger"
DAYS = 30
PORTION = Decimal(400)
PROJECTS = ("Landing page", "Support answers", "Research notes")
# Indexes of the service that each call uses in turn: mostly the first one, rarely the expensive second one.
SERVICE_SEQUENCE = (0, 2, 0, 3, 0, 2, 4, 0, 3, 0, 2, 1)
OCCASIONAL_EVERY = 17  # calls
TOKENS = "tokens"
CALLS_PER_CONVERSATION = 5
WEEKEND_SHARE = 3  # on weekends, one call in WEEKEND_SHARE is made


class SandboxRequired(Exception):
    """The installation has no sandbox: demo data would mix with real accounts."""


class Item(NamedTuple):
    """A service and the meter it is priced by."""

    service: str
    meter: str


class Menu(NamedTuple):
    """The services that the demo user uses: some regularly, some occasionally."""

    regular: list[Item]
    occasional: list[Item]


@dataclass(frozen=True, kw_only=True)
class World:
    """Account, API keys, and an example service with its usage."""

    account: Account
    account_key: str
    platform_key: str
    service: str
    usage: dict[str, int]


def build(*, now: datetime, existing_keys: Sequence[str] = ()) -> World:
    """Create what is missing of the demo world. Valid keys of `existing_keys` are kept.

    Raises SandboxRequired.
    """
    if not settings.SANDBOX:
        raise SandboxRequired
    account = _demo_account(now)
    _create_staff(now)
    first = next(iter(_menu(now).regular), None)
    if first:
        with transaction.atomic():
            budget.start(account, service=first.service, now=now)
    return World(
        account=account,
        account_key=_key(
            existing_keys, now, kind=ApiKey.Kind.ACCOUNT, account=account, created_by=account.person
        ),
        platform_key=_key(existing_keys, now, kind=ApiKey.Kind.PLATFORM),
        service=first.service if first else "",
        usage=_usage(first, input_tokens=1200, output_tokens=640) if first else {},
    )


def _demo_account(now: datetime) -> Account:
    existing = Account.objects.filter(person__email=EMAIL).first()
    if existing is not None:
        return existing
    began = now - timedelta(days=DAYS)
    with transaction.atomic():
        user = _user(EMAIL, PASSWORD, "Ada", "Lovelace", began)
        account = registration.open_personal_account(user, began)
        registration.confirm_address(user, EMAIL, began)
        _grant(account, PORTION, "demo:beginning", began)
        _charge_trace(account, began, now)
        _grant(account, Decimal(200), "demo:end", now)  # so that visitors can charge, however much was spent
    return account


def _grant(account: Account, credits: Decimal, key: str, now: datetime) -> None:
    ledger.grant(
        account_id=account.pk,
        credits=credits,
        kind="adjustment",
        label=gettext_noop("Demo credits"),
        key=key,
        reason=gettext_noop("Demo data"),
        actor="staff",
        now=now,
    )


def _create_staff(now: datetime) -> None:
    if not User.objects.filter(email=STAFF_EMAIL).exists():
        with transaction.atomic():
            user = _user(STAFF_EMAIL, STAFF_PASSWORD, "Sam", "Staff", now, is_staff=True, is_superuser=True)
            registration.open_personal_account(user, now)


def _user(email: str, password: str, first: str, last: str, now: datetime, **fields: Any) -> User:
    user = User.objects.create_user(
        email, password, first_name=first, last_name=last, date_joined=now, **fields
    )
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def _charge_trace(account: Account, began: datetime, now: datetime) -> None:
    """Charge the trace slice, spread over the days; add another portion of credits when they are used up."""
    projects = [Project.objects.create(account=account, name=name, created_at=began) for name in PROJECTS]
    menu = _menu(now)
    for call, at in _spread(list(trace_replay.read(trace_replay.SLICE)), began, now):
        item = _item_of(call, menu)
        if item is None:
            continue
        conversation = call.row // CALLS_PER_CONVERSATION
        use = charging.Use(
            account_id=account.pk,
            service=item.service,
            usage=_usage(item, input_tokens=call.input_tokens, output_tokens=call.output_tokens),
            project_id=projects[conversation % len(projects)].pk,
            member_id=account.person_id,
            conversation=f"c-{conversation}",
        )
        try:
            charging.charge(use, key=f"demo:{call.row}", fingerprint=b"", now=at)
        except ledger.InsufficientCredits:
            _grant(account, PORTION, f"demo:{call.row}", at)


def _spread(calls: list[TraceCall], began: datetime, now: datetime) -> Iterator[tuple[TraceCall, datetime]]:
    """The calls with their times scaled to the whole period, fewer of them on weekends."""
    first, last = calls[0].at, calls[-1].at
    span = now - began - timedelta(minutes=10)
    for call in calls:
        at = began + timedelta(minutes=1) + span * ((call.at - first) / (last - first))
        if at.weekday() < 5 or call.row % WEEKEND_SHARE == 0:
            yield call, at


def _item_of(call: TraceCall, menu: Menu) -> Item | None:
    """The service that a call is charged as."""
    if menu.occasional and call.row % OCCASIONAL_EVERY == 0:
        return menu.occasional[call.row // OCCASIONAL_EVERY % len(menu.occasional)]
    if not menu.regular:
        return None
    return menu.regular[SERVICE_SEQUENCE[call.row % len(SERVICE_SEQUENCE)] % len(menu.regular)]


def _usage(item: Item, *, input_tokens: int, output_tokens: int) -> dict[str, int]:
    """The quantities of one use: the tokens of a service priced by tokens, else 1."""
    if item.meter == TOKENS:
        return {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return {item.meter: 1}


def _menu(now: datetime) -> Menu:
    """The services of the catalogue that the demo user uses."""
    tokens, images, uses = (_items_priced_by(meter, now) for meter in (TOKENS, "images", "uses"))
    if tokens:
        return Menu(regular=tokens[:5], occasional=images[:3])
    return Menu(regular=(images + uses)[:5], occasional=[])


def _items_priced_by(meter: str, now: datetime) -> list[Item]:
    """The services priced by this meter, in catalogue order."""
    items = []
    for key, service in catalogue_cache.current().services.items():
        item = Item(key, meter)
        if service.retired:
            continue
        try:
            lookup.price_use(service=key, usage=_usage(item, input_tokens=1000, output_tokens=100), now=now)
        except (UsageInvalid, lookup.ServiceUnpriced):
            continue
        items.append(item)
    return items


def _key(
    existing: Sequence[str],
    now: datetime,
    *,
    kind: str,
    account: Account | None = None,
    created_by: User | None = None,
) -> str:
    """A valid key of this kind from `existing`, or a new one that replaces the demo's earlier keys."""
    for secret in existing:
        try:
            principal = api_keys.verify(secret, now)
        except api_keys.UnknownKey:
            continue
        if principal.is_platform == (kind == ApiKey.Kind.PLATFORM):
            return secret
    name = "Demo"
    api_keys.revoke_all(ApiKey.objects.filter(kind=kind, account=account, name=name), now)
    issued = api_keys.issue(
        kind=kind, name=name, scopes=ApiKey.Scope.values, account=account, created_by=created_by, now=now
    )
    return issued.secret


def charge_count(account: Account) -> int:
    """The number of charges of the demo account."""
    return Charge.objects.filter(account=account).count()
