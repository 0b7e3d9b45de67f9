"""The account in which a move is made: its credits, its terms, and what a move has changed.

A circumstance sets attributes of the world and makes what has to be there before. `meanwhile` runs between
the first step (the hold that is captured, the charge that is reversed) and the move; for a move without a
first step it runs before the move.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, User
from billing import ledger
from billing.models import Charge, Grant, Hold, Limit
from billing.subscriptions import lifecycle
from core.amounts import plain
from core.ids import new_id
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import rate_cards
from tests.api import ALL_SCOPES, Api
from tests.conftest import forget_cached

ACCOUNT = "the-account"
FILLER = "filler"  # an account whose uses fill a batch
LIMITS = ("project", "member", "key", "quota")
ORDER = ("held", "debt", *LIMITS)


class Keys(NamedTuple):
    """The secrets of a platform key, and of a key that Alice made for the account."""

    platform: str
    account: str


def open_account() -> Keys:
    """The account: Alice's, on a plan without allowances, with 100 credits in the grant "pack"."""
    now = timezone.now()
    platform = api_keys.issue(kind="platform", name="backend", scopes=ALL_SCOPES, now=now).secret
    api = Api(platform)
    for external_id in (ACCOUNT, FILLER):
        assert api.post("accounts", {"external_id": external_id}).status_code == 201
    account = Account.objects.get(external_id=ACCOUNT)
    alice = User.objects.create(email="alice@example.org", first_name="Alice")
    Membership.objects.create(account=account, user=alice, role="owner")
    body = {"credits": "100", "kind": "top_up", "label": "pack"}
    assert api.post(f"accounts/{ACCOUNT}/grants", body, key="pack").status_code == 201
    return Keys(platform, issue_key(account, alice))


def issue_key(account: Account, user: User) -> str:
    return api_keys.issue(
        kind="account",
        name="program",
        scopes=ALL_SCOPES,
        account=account,
        created_by=user,
        now=timezone.now(),
    ).secret


class Saved(NamedTuple):
    """The database, the clock and the attributes of a world at one moment."""

    savepoint: str
    at: datetime
    attributes: dict[str, Any]
    fields: dict[str, Any]


class World:
    """The account of `open_account`, the clock, and what a circumstance says about the move."""

    def __init__(self, clock: Any, keys: Keys) -> None:
        self.clock = clock
        self.platform = Api(keys.platform)
        self.api = Api(keys.account)
        self.account = Account.objects.get(external_id=ACCOUNT)
        self.alice = User.objects.get(email="alice@example.org")
        self.fields: dict[str, Any] = {"service": "draw", "conversation": "c-1", "metadata": {"n": 1}}
        self.quantity = 2  # uses of a charge or a hold; a capture is of one less, as many, or one more
        self.captured: int | None = (
            None  # uses that every capture is of; and a reversal is of a captured charge
        )
        self.part = "15"  # credits of a reversal in part
        self.expires_in = 3600
        self.parent: str | None = None  # the hold from which the holds of the moves reserve
        self.is_platform = False  # whether the platform's key makes charges and holds, or the account's key
        self.captures_the_other_way = False  # by amount what was held by usage, and by usage what by amount
        self.meanwhile: Callable[[], Any] = lambda: None
        self.repeats: str = ""  # "same": the move is repeated with its body; "other": with another body
        self.before_repeat: Callable[[], Any] = lambda: None
        self.account_is_open = True
        self.numbers = 0
        self.continues_from = ""  # the savepoint of the last `restore`

    def save(self) -> Saved:
        kept = {name: value for name, value in vars(self).items() if name != "fields"}
        return Saved(transaction.savepoint(), self.now, kept, dict(self.fields))

    def restore(self, saved: Saved) -> None:
        """Continue from a saved state, with which another move has been made.

        No move changes the catalogue: it is read once for the moves from one state.
        """
        transaction.savepoint_rollback(saved.savepoint)
        if self.continues_from != saved.savepoint:
            catalogue_cache.forget()
        forget_cached()
        vars(self).update(saved.attributes)
        self.fields = dict(saved.fields)
        self.continues_from = saved.savepoint
        self.clock.move_to(saved.at, tick=False)

    @property
    def now(self) -> datetime:
        return timezone.now()

    def caller(self) -> Api:
        return self.platform if self.is_platform else self.api

    def unique(self, name: str) -> str:
        self.numbers += 1
        return f"{name}-{self.numbers}"

    def give(self, credits: str, *, label: str, kind: str = "top_up", **more: Any) -> None:
        self.wait(seconds=1)  # the older of two grants is spent first
        body = {"credits": credits, "kind": kind, "label": label, **more}
        response = self.platform.post(f"accounts/{ACCOUNT}/grants", body, key=self.unique("give"))
        assert response.status_code == 201, response.content

    def sell(self, credits: str, *, label: str, expires_at: datetime | None = None) -> Callable[[], Any]:
        """Grant credits of a purchase, spent before the pack. Returns the function that refunds it."""
        purchase, account = new_id(), self.account.pk
        terms: dict[str, Any] = {
            "kind": "promotion",
            "label": label,
            "expires_at": expires_at,
            "purchase_id": purchase,
        }
        ledger.grant(account_id=account, credits=Decimal(credits), key=label, now=self.now, **terms)
        return lambda: ledger.claw_back(
            account_id=account, purchase_id=purchase, key=label, reason="refund", now=self.now
        )

    def spend(self, uses: int, **fields: Any) -> None:
        """Another charge, of so many uses, with the fields of the move's use."""
        body = self.fields | {"usage": {"uses": uses}} | fields
        response = self.api.post("charges", body, key=self.unique("spend"))
        assert response.status_code == 201, response.content

    def spend_all(self) -> None:
        """Spend what is left of the pack."""
        self.spend(int(Grant.objects.get(label="pack").remaining / 10))

    def fill(self, kind: str, upto: int, **fields: Any) -> None:
        """Use a limit up to so many credits, or a quota up to so many uses."""
        used = sum(limit.used for limit in Limit.objects.filter(account=self.account, kind=kind))
        self.spend(int((upto - used) / (1 if kind == "quota" else 10)), **fields)

    def plan(self, key: str) -> None:
        lifecycle.assign_plan(account=self.account, plan_key=key, actor="staff", now=self.now)

    def past_due(self) -> None:
        with transaction.atomic():
            lifecycle.mark_past_due(lifecycle.lock_subscription(self.account.pk), now=self.now)

    def limit(self, kind: str, maximum: str) -> None:
        """A daily limit of the project or of the keys, or Alice's monthly limit."""
        if kind == "project":
            self.project(maximum)
            return
        keys = [str(pk) for pk in ApiKey.objects.values_list("pk", flat=True)]
        for subject in keys if kind == "key" else [str(self.alice.pk)]:
            ledger.set_limit(
                account_id=self.account.pk,
                kind=kind,
                subject=subject,
                period="day" if kind == "key" else "month",
                maximum=Decimal(maximum),
                now=self.now,
            )

    def project(self, daily_limit: str | None = None) -> None:
        """Create a project and attribute the move's use to it."""
        response = self.api.post("projects", {"name": "canvas", "daily_limit": daily_limit})
        assert response.status_code == 201, response.content
        self.fields["project"] = response.json()["id"]

    def change_project(self, **changes: Any) -> None:
        response = self.platform.patch(f"projects/{self.fields['project']}", changes)
        assert response.status_code == 200, response.content

    def alert(self, below: str) -> None:
        response = self.api.put("alerts", {"enabled": True, "below": below})
        assert response.status_code == 200, response.content

    def provider_key(self, provider: str) -> Callable[[], Any]:
        """Store a key of the account at a provider. Returns the function that deletes it."""
        body = {"provider": provider, "key": "secret-at-the-provider"}
        response = self.api.post("provider-keys", body)
        assert response.status_code == 201, response.content
        return lambda: self.api.delete(f"provider-keys/{response.json()['id']}")

    def change_price(self, credits: str | None) -> None:
        """From now on a drawing has another price, or none."""
        card = rate_cards.copy_in_force(effective_at=self.now, source="test", now=self.now)
        rate = card.rates.get(service__key="draw")
        if credits is None:
            rate.delete()
        else:
            rate.lines[0]["bands"][0]["credits"] = credits
            rate.save()
        rate_cards.put_in_force(card, by="staff", now=self.now)
        catalogue_cache.changed()

    def newest_hold(self) -> str:
        return str(Hold.objects.filter(account=self.account).latest("created_at").public_id)

    def newest_charge(self) -> str:
        return str(Charge.objects.filter(account=self.account).latest("created_at").public_id)

    def wait(self, **time: float) -> None:
        self.clock.shift(timedelta(**time))

    def settle(self) -> None:
        ledger.settle([self.account.pk], self.now)

    def midnight(self) -> None:
        """Move the clock to the next midnight, at which the windows of limits turn."""
        tomorrow = self.now + timedelta(days=1)
        self.clock.move_to(tomorrow.replace(hour=0, minute=0, second=0), tick=False)


# One query, because it is made twice for each of more than a thousand moves. A limit whose window has ended
# counts as unused: the ledger moves it on at the next use.
_STATE = """
    select held, debt,
      (select json_object_agg(label, remaining::text) from billing_grant where account_id = w.account_id),
      (select json_object_agg(kind, used::text) from (
         select kind, sum(used) as used from billing_limit
          where account_id = w.account_id and (window_end is null or window_end > %(now)s) group by kind) x),
      array(select kind from billing_notice where account_id = w.account_id order by id),
      (select json_object_agg(id, status) from billing_hold where account_id = w.account_id),
      (select json_object_agg(id, case when returned = 0 then 'charged' when returned = credits - uncollected
         then 'reversed' else 'partly_reversed' end) from billing_charge where account_id = w.account_id)
    from billing_wallet w where account_id = %(account)s
"""


class State:
    """The figures that a move can change, at one moment."""

    def __init__(self, world: World) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_STATE, {"account": world.account.pk, "now": world.now})
            held, debt, grants, limits, self.notices, holds, charges = cursor.fetchone()
        figures = dict.fromkeys(LIMITS, "0") | (grants or {}) | (limits or {})
        self.figures = {name: Decimal(figure) for name, figure in figures.items()}
        self.figures |= {"held": held, "debt": debt}
        self.statuses = [(f"hold {status}", pk) for pk, status in (holds or {}).items()]
        self.statuses += [(f"charge {status}", pk) for pk, status in (charges or {}).items()]

    def changes_since(self, before: "State") -> list[str]:
        """What is different from `before`, in the notation of the table."""
        parts = []
        names = [*sorted(self.figures.keys() - set(ORDER)), *ORDER]
        for name in names:
            change = self.figures[name] - before.figures.get(name, Decimal(0))
            if change:
                parts.append(f"{name} {'+' if change > 0 else '-'}{plain(abs(change))}")
        parts += self.notices[len(before.notices) :]
        known = {pk for _, pk in before.statuses}
        changed = [one for one in self.statuses if one not in before.statuses]
        return parts + [status for status, pk in changed if pk in known]
