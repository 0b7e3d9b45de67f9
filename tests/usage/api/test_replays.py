"""The same key with the same body gives the first answer again, byte for byte, whatever happened since."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Charge, Hold
from core.fields import instant
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Service
from tests.usage.api.conftest import SONNET, give, use

PURCHASE = uuid4()


class Scene:
    """A request that is sent twice: `again` by another key, after `change` has altered what it made."""

    def __init__(self, account: Account, api: Any, other: Any, platform: Any) -> None:
        self.account, self.api, self.other, self.platform = account, api, other, platform
        self.path, self.body, self.sender = "", {}, api

    def send(self) -> Any:
        return self.sender.post(self.path, self.body, key="once")

    def charge(self) -> None:
        self.path, self.body = "charges", use(conversation="c-1", metadata={"b": 1, "a": [1.5, None]})

    def batch(self) -> None:
        items = [use(**{"idempotency_key": f"k{n}"}) for n in range(3)]
        self.path, self.body = "charges/batch", {"data": items}

    def hold(self) -> None:
        self.path, self.body = "holds", use(conversation="c-1")

    def hold_of_credits(self) -> None:
        self.path, self.body = "holds", {"service": SONNET, "credits": "7.5"}

    def capture(self) -> None:
        hold = self.api.post("holds", use(10_000), key="h").json()["id"]
        self.path, self.body = f"holds/{hold}/capture", {"usage": {"tokens": 5000}, "metadata": {"n": 1}}

    def capture_above_the_hold(self) -> None:
        hold = self.api.post("holds", use(), key="h").json()["id"]
        self.path, self.body = f"holds/{hold}/capture", {"usage": {"tokens": 60_000}}

    def release(self) -> None:
        hold = self.api.post("holds", use(), key="h").json()["id"]
        self.path, self.body = f"holds/{hold}/release", {}

    def reversal(self) -> None:
        charge = self.api.post("charges", use(), key="c").json()["id"]
        self.path, self.sender = f"charges/{charge}/reversals", self.platform
        self.body = {"account": self.account.public_id, "credits": "4", "reason": "slow"}

    def grant(self) -> None:
        self.path, self.sender = f"accounts/{self.account.public_id}/grants", self.platform
        self.body = {
            "credits": "50",
            "kind": "bonus",
            "expires_at": instant(timezone.now() + timedelta(days=300)),
        }

    def grant_that_repays_debt(self) -> None:
        self.grant()
        give(self.account, "20", purchase_id=PURCHASE, priority=1)
        self.api.post("charges", use(), key="spent")
        self.claw_back()

    def claw_back(self) -> None:
        terms = {"purchase_id": PURCHASE, "key": "refund", "reason": "refunded", "now": timezone.now()}
        ledger.claw_back(account_id=self.account.pk, **terms)

    # what happens before the retry

    def nothing(self) -> None:
        pass

    def spend_and_reverse(self) -> None:
        for n in range(3):
            self.api.post("charges", use(1000), key=f"later {n}")
        for n, charge in enumerate(Charge.objects.filter(account=self.account, returned=0)):
            terms = {"charge_id": charge.pk, "key": f"r{n}", "reason": "r", "now": timezone.now()}
            ledger.reverse(account_id=self.account.pk, **terms)

    def close_holds(self) -> None:
        for hold in Hold.objects.filter(account=self.account, status="held"):
            ledger.release(account_id=self.account.pk, hold_id=hold.pk, now=timezone.now())

    def months_later(self) -> None:
        later = timezone.now() + timedelta(days=800)
        ledger.settle([self.account.pk], later)

    def service_is_withdrawn(self) -> None:
        Service.objects.filter(key=SONNET).update(key="withdrawn")
        catalogue_cache.forget()


REQUESTS = [
    "charge",
    "batch",
    "hold",
    "hold_of_credits",
    "capture",
    "capture_above_the_hold",
    "release",
    "reversal",
    "grant",
    "grant_that_repays_debt",
]
CHANGES = ["nothing", "spend_and_reverse", "close_holds", "months_later", "service_is_withdrawn"]


@pytest.fixture
def scene(account: Account, alice: User, bob: User, api: Any, api_of: Any, platform_api: Any) -> Scene:
    return Scene(account, api, api_of(alice), platform_api)


@pytest.mark.fault("L8", "L9")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_replay_gives_the_first_answer_byte_for_byte(scene: Scene, request_: str, change: str) -> None:
    getattr(scene, request_)()
    first = scene.send()
    assert first.status_code < 300, first.content
    getattr(scene, change)()
    senders = [scene.sender] if scene.sender is scene.platform else [scene.sender, scene.other]
    for scene.sender in senders:
        again = scene.send()
        assert again.status_code == first.status_code, again.content
        if request_ == "batch":
            items = again.json()["data"]
            assert all(item.pop("replayed") for item in items)
            assert items == first.json()["data"]
        else:
            assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
