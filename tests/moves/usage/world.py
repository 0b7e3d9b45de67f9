"""The account in which a move is made: its credits, its terms, and what a move has changed.

A circumstance sets attributes of the world and makes what has to be there before. `meanwhile` runs between
the first step (the hold that is captured, the charge that is reversed) and the move; for a move without a
first step it runs before the move.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, User
from billing import ledger
from billing.models import Charge, Grant, Hold, Limit, Notice, Wallet
from billing.subscriptions import lifecycle
from core.amounts import plain
from core.ids import new_id
from tests.conftest import ALL_SCOPES, Api

ACCOUNT = "the-account"
LIMITS = ("project", "member", "key", "quota")


class Keys(NamedTuple):
    """The secrets of a platform key, and of a key that Alice made for the account."""

    platform: str
    account: str


def open_account() -> Keys:
    """The account: Alice's, on a plan without allowances, with 100 credits in the grant "pack"."""
    now = timezone.now()
    platform = api_keys.issue(kind="platform", name="backend", scopes=ALL_SCOPES, now=now).secret
    api = Api(platform)
    assert api.post("accounts", {"external_id": ACCOUNT}).status_code == 201
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
        self.expires_in = 3600
        self.is_platform = False  # whether the platform's key makes charges and holds, or the account's key
        self.held_by_amount: bool | None = None  # None: as the move says
        self.meanwhile: Callable[[], Any] = lambda: None
        self.repeats: str = ""  # "same": the move is repeated with its body; "other": with another body
        self.account_is_open = True
        self.numbers = 0

    @property
    def now(self) -> datetime:
        return timezone.now()

    def caller(self) -> Api:
        return self.platform if self.is_platform else self.api

    def unique(self, name: str) -> str:
        self.numbers += 1
        return f"{name}-{self.numbers}"

    def give(self, credits: str, *, label: str, kind: str = "top_up", **more: Any) -> None:
        body = {"credits": credits, "kind": kind, "label": label, **more}
        path = f"accounts/{self.account.external_id}/grants"
        response = self.platform.post(path, body, key=self.unique("give"))
        assert response.status_code == 201, response.content

    def sell(self, credits: str, *, label: str, kind: str = "promotion") -> Callable[[], Any]:
        """Grant credits of a purchase, spent before the pack. Returns the function that refunds it."""
        purchase = new_id()
        ledger.grant(
            account_id=self.account.pk,
            credits=Decimal(credits),
            kind=kind,
            label=label,
            key=label,
            purchase_id=purchase,
            now=self.now,
        )
        return lambda: ledger.claw_back(
            account_id=self.account.pk,
            purchase_id=purchase,
            key=f"refund {label}",
            reason="refund",
            now=self.now,
        )

    def spend(self, uses: int, **fields: Any) -> None:
        """Another charge, of so many uses, with the fields of the move's use."""
        body = self.fields | {"usage": {"uses": uses}} | fields
        response = self.api.post("charges", body, key=self.unique("spend"))
        assert response.status_code == 201, response.content

    def plan(self, key: str) -> None:
        lifecycle.assign_plan(account=self.account, plan_key=key, actor="staff", now=self.now)

    def limit(self, kind: str, maximum: str | None, *, period: str = "day") -> None:
        """Set the limit of the project, of Alice, or of both keys."""
        keys = [str(pk) for pk in ApiKey.objects.values_list("pk", flat=True)]
        subjects = {"member": [str(self.alice.pk)], "key": keys, "quota": ["files"]}
        for subject in subjects[kind]:
            ledger.set_limit(
                account_id=self.account.pk,
                kind=kind,
                subject=subject,
                period=period,
                maximum=None if maximum is None else Decimal(maximum),
                now=self.now,
            )

    def alert(self, below: str) -> None:
        response = self.api.put("alerts", {"enabled": True, "below": below})
        assert response.status_code == 200, response.content

    def project(self, daily_limit: str | None = None) -> str:
        """Create a project and attribute the move's use to it."""
        body = {"name": self.unique("project"), "daily_limit": daily_limit}
        response = self.api.post("projects", body)
        assert response.status_code == 201, response.content
        self.fields["project"] = response.json()["id"]
        return str(self.fields["project"])

    def wait(self, **time: float) -> None:
        self.clock.shift(timedelta(**time))

    def midnight(self) -> None:
        """Move the clock to the next midnight, at which the windows of daily limits turn."""
        now = self.now
        self.clock.move_to((now + timedelta(days=1)).replace(hour=0, minute=0, second=0), tick=False)


class State:
    """The figures that a move can change, at one moment."""

    def __init__(self, world: World) -> None:
        account, now = world.account, world.now
        wallet = Wallet.objects.get(account=account)
        self.figures: dict[str, Decimal] = {
            grant.label: grant.remaining for grant in Grant.objects.filter(account=account).order_by("pk")
        }
        self.figures |= {"held": wallet.held, "debt": wallet.debt}
        self.figures |= dict.fromkeys(LIMITS, Decimal(0))
        for limit in Limit.objects.filter(account=account):
            # at the next use the ledger moves a window on; until then one that has ended counts as unused
            if limit.window_end is None or limit.window_end > now:
                self.figures[limit.kind] += limit.used
        self.notices = list(
            Notice.objects.filter(account=account).order_by("pk").values_list("kind", flat=True)
        )
        self.holds = dict(Hold.objects.filter(account=account).values_list("pk", "status"))
        self.charges = {charge.pk: charge.status for charge in Charge.objects.filter(account=account)}

    def changes_since(self, before: "State") -> list[str]:
        """What is different from `before`, in the notation of the table."""
        parts = []
        for name, figure in self.figures.items():
            change = figure - before.figures.get(name, Decimal(0))
            if change:
                parts.append(f"{name} {'+' if change > 0 else '-'}{plain(abs(change))}")
        parts += self.notices[len(before.notices) :]
        parts += [f"hold {self.holds[pk]}" for pk, old in before.holds.items() if self.holds[pk] != old]
        parts += [
            f"charge {self.charges[pk]}" for pk, old in before.charges.items() if self.charges[pk] != old
        ]
        return parts
