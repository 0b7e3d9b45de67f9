"""The demo world: a person with thirty days behind her, staff, and keys, so that the portal shows life.

Invariants: it exists only beside the sandbox; building it again changes nothing that is there; its history is
made by the same functions as real history, in the order of time, with the token counts of real calls
(usage/data/README.md), and stands in the ledger as a whole or not at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction

from accounts import api_keys, registration
from accounts.models import Account, ApiKey, Project, User
from billing import ledger
from billing.models import Charge
from pricing.catalogue import cache as catalogue_cache
from pricing.rates import lookup
from pricing.rates.validation import UsageInvalid
from usage import charging
from usage.demo import trace_file

EMAIL, PASSWORD = "ada@example.com", "countess-of-lovelace"
STAFF_EMAIL, STAFF_PASSWORD = "staff@example.com", "keeper-of-the-ledger"
DAYS = 30
PROJECTS = ("Landing page", "Support answers", "Research notes")
# Which of the models a call goes to, in turn: a favourite, some regulars, now and then the dear one.
TURNS = (0, 2, 0, 3, 0, 2, 4, 0, 3, 0, 2, 1)
RARITY_EVERY = 17  # calls
TOKENS = "tokens"
CALLS_IN_A_CONVERSATION = 5
WEEKEND_SHARE = 3  # one call in so many is made on a Saturday or Sunday


class NoDemoHere(Exception):
    """There is no sandbox: a demo world would stand among real accounts."""


class Item(NamedTuple):
    """A service and the meter it is priced by."""

    service: str
    meter: str


class Menu(NamedTuple):
    """What the demo's people use: some services day by day, some now and then."""

    regulars: list[Item]
    rarities: list[Item]


@dataclass(frozen=True, kw_only=True)
class World:
    """What a visitor needs to look around."""

    account: Account
    account_key: str
    platform_key: str
    service: str
    usage: dict[str, int]


def build(*, now: datetime, known_keys: Sequence[str] = ()) -> World:
    """Make whatever of the demo world is missing. `known_keys` are kept while they are good.

    Raises NoDemoHere.
    """
    if not settings.SANDBOX:
        raise NoDemoHere
    account = _ada(now)
    _staff(now)
    first = next(iter(_menu(now).regulars), None)
    return World(
        account=account,
        account_key=_key(
            known_keys, now, kind=ApiKey.Kind.ACCOUNT, account=account, created_by=account.person
        ),
        platform_key=_key(known_keys, now, kind=ApiKey.Kind.PLATFORM),
        service=first.service if first else "",
        usage=_usage(first, input_tokens=1200, output_tokens=640) if first else {},
    )


def _ada(now: datetime) -> Account:
    found = Account.objects.filter(person__email=EMAIL).first()
    if found is not None:
        return found
    began = now - timedelta(days=DAYS)
    with transaction.atomic():
        user = _user(EMAIL, PASSWORD, "Ada", "Lovelace", began)
        account = registration.open_personal_account(user, began)
        registration.confirm_address(user, EMAIL, began)
        _gift(account, Decimal(400), "demo:beginning", began)
        _live_through(account, began, now)
        _gift(account, Decimal(200), "demo:end", now)  # whatever the month took, a visitor can charge
    return account


def _gift(account: Account, credits: Decimal, key: str, now: datetime) -> None:
    ledger.grant(
        account_id=account.pk,
        credits=credits,
        kind="adjustment",
        label="Credits to look around with",
        key=key,
        reason="Demo world",
        actor=STAFF_EMAIL,
        now=now,
    )


def _staff(now: datetime) -> None:
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


def _live_through(account: Account, began: datetime, now: datetime) -> None:
    """Charge the slice of the trace, stretched over the days; what the balance cannot pay is not made."""
    projects = [Project.objects.create(account=account, name=name, created_at=began) for name in PROJECTS]
    menu = _menu(now)
    for call, at in _stretched(list(trace_file.read(trace_file.SLICE)), began, now):
        item = _of_turn(call, menu)
        if item is None:
            continue
        conversation = call.row // CALLS_IN_A_CONVERSATION
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
            continue


def _stretched(
    calls: list[trace_file.Call], began: datetime, now: datetime
) -> Iterator[tuple[trace_file.Call, datetime]]:
    """The calls with their times laid over the whole span, fewer of them at week-ends."""
    first, last = calls[0].at, calls[-1].at
    span = now - began - timedelta(minutes=10)
    for call in calls:
        at = began + timedelta(minutes=1) + span * ((call.at - first) / (last - first))
        if at.weekday() < 5 or call.row % WEEKEND_SHARE == 0:
            yield call, at


def _of_turn(call: trace_file.Call, menu: Menu) -> Item | None:
    """What a call is charged as."""
    if menu.rarities and call.row % RARITY_EVERY == 0:
        return menu.rarities[call.row // RARITY_EVERY % len(menu.rarities)]
    if not menu.regulars:
        return None
    return menu.regulars[TURNS[call.row % len(TURNS)] % len(menu.regulars)]


def _usage(item: Item, *, input_tokens: int, output_tokens: int) -> dict[str, int]:
    """A use of it: the tokens where it is priced by tokens, else one."""
    if item.meter == TOKENS:
        return {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return {item.meter: 1}


def _menu(now: datetime) -> Menu:
    """What this installation's catalogue offers to a demo."""
    tokens, images, uses = (_priced(meter, now) for meter in (TOKENS, "images", "uses"))
    if tokens:
        return Menu(regulars=tokens[:5], rarities=images[:3])
    return Menu(regulars=(images + uses)[:5], rarities=[])


def _priced(meter: str, now: datetime) -> list[Item]:
    """The services that are priced by this meter, in the order of the catalogue."""
    found = []
    for key, facts in catalogue_cache.current().services.items():
        item = Item(key, meter)
        if facts.retired:
            continue
        try:
            lookup.price_use(service=key, usage=_usage(item, input_tokens=1000, output_tokens=100), now=now)
        except (UsageInvalid, lookup.ServiceUnpriced):
            continue
        found.append(item)
    return found


def _key(
    known: Sequence[str],
    now: datetime,
    *,
    kind: str,
    account: Account | None = None,
    created_by: User | None = None,
) -> str:
    """A key of this kind that is still good, or a new one in place of the demo's old ones."""
    for secret in known:
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


def charged(account: Account) -> int:
    """How many charges the demo's history holds."""
    return Charge.objects.filter(account=account).count()
