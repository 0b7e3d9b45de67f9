"""Events of an account: nothing is lost between two readings, whatever has happened and how much."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys, memberships
from accounts.models import Account, Membership, User
from billing import ledger
from billing.models import Charge, Purchase
from tests.some import some
from tests.usage.api.conftest import give, use
from usage import live_updates
from usage.api import events
from usage.api.events import Position
from usage.views.live import FOLLOW

pytestmark = pytest.mark.usefixtures("catalogue")


def parsed(content: bytes) -> list[tuple[str, str, Any]]:
    """Type, id and data of each event."""
    found = []
    for block in content.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


class Reader:
    """A client that reads with the id of the last event, each time over a new connection."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.last_id = ""

    def read(self) -> list[tuple[str, Any]]:
        position, found = events.position_of(self.last_id or None), []
        while True:
            reading = events.read((self.account.pk, position), timezone.now())
            found += parsed(reading.content)
            position = reading.position
            if not reading.more:
                break
        self.last_id = found[-1][1] if found else self.last_id
        return [(kind, data) for kind, _id, data in found]


@pytest.fixture
def reader(account: Account) -> Reader:
    reading = Reader(account)
    [(kind, _balance)] = reading.read()
    assert kind == "balance"
    return reading


def buy(account: Account, **fields: Any) -> Purchase:
    terms: dict[str, Any] = {
        "idempotency_key": "p",
        "kind": "pack",
        "origin": "page",
        "offer": "small",
        "label": "Small",
        "credits": 5,
    }
    terms |= {"amount": 5, "list_amount": 5, "currency": "usd", "created_at": timezone.now()}
    return Purchase.objects.create(account=account, **terms | fields)


def test_a_charge_and_the_balance_after_it_are_events(api: Any, reader: Reader) -> None:
    charge = api.post("charges", use(5000), key="a").json()
    (first, sent), (last, balance) = reader.read()
    stored = api.get(f"charges/{charge['id']}").json()
    stored.pop("report", None)
    assert (first, sent) == ("charge", stored) and sent["credits"] == "11"
    assert last == "balance" and balance["available"] == api.get("balance").json()["available"]
    assert reader.read() == [], "nothing has happened since"


def test_free_uses_captures_and_reversals_are_charges_and_holds_change_the_balance(
    api: Any, reader: Reader, account: Account
) -> None:
    give(account, "30")
    assert [kind for kind, _data in reader.read()] == ["balance"]
    ledger.charge(
        ledger.ChargeRequest(account_id=account.pk, credits=Decimal(0), key="f", service="s"), timezone.now()
    )
    assert [kind for kind, _data in reader.read()] == ["charge", "balance"]
    hold = api.post("holds", use(10_000), key="h").json()
    [(kind, balance)] = reader.read()
    assert (kind, balance["held"]) == ("balance", "22")
    api.post(f"holds/{hold['id']}/capture", {"usage": {"tokens": 5000}}, key="c")
    assert [kind for kind, _data in reader.read()] == ["charge", "balance"]
    spanning = api.post("charges", use(54_000), key="s").json()
    assert len(spanning["drawn"]) > 1
    assert [kind for kind, _data in reader.read()] == ["charge", "balance"], "one event for several grants"
    charged = ledger.reverse(
        account_id=account.pk,
        charge_id=Charge.uuid_of(spanning["id"]),
        key="r",
        reason="r",
        now=timezone.now(),
    )
    assert charged.credits
    [(kind, reversed_charge), _balance] = reader.read()
    assert (kind, reversed_charge["status"]) == ("charge", "reversed")


def test_a_capture_that_several_grants_paid_is_one_event_also_in_a_tree(
    api: Any, reader: Reader, account: Account
) -> None:
    for number in range(3):
        give(account, "100", key=f"pack-{number}")
    hold = api.post("holds", use(100_000), key="h").json()
    root = api.post("holds", {"service": hold["service"], "credits": "150"}, key="root").json()
    below = {"service": hold["service"], "credits": "10", "parent": root["id"]}
    child = api.post("holds", below, key="child").json()
    reader.read()
    for one, credits in ((hold, "215"), (child, "120")):
        captured = api.post(f"holds/{one['id']}/capture", {"credits": credits}, key=one["id"]).json()
        assert len(captured["drawn"]) > 1
        assert [kind for kind, _data in reader.read()] == ["charge", "balance"]


def test_two_reversals_of_parts_of_a_charge_are_two_events(
    api: Any, reader: Reader, account: Account
) -> None:
    charge = Charge.uuid_of(api.post("charges", use(5000), key="a").json()["id"])
    reader.read()
    part = {"account_id": account.pk, "charge_id": charge, "credits": Decimal(1), "reason": "r"}
    for key in ("first", "second"):
        ledger.reverse(**part, key=key, now=timezone.now())
    assert [kind for kind, _data in reader.read()] == ["charge", "charge", "balance"]


def test_what_is_due_is_settled_before_it_is_read(account: Account, clock: Any, api: Any) -> None:
    reader = Reader(account)
    reader.read()
    api.post("charges", use(5000), key="a")
    reader.read()
    clock.shift(86_400)
    [(kind, balance)] = reader.read()
    assert (kind, balance["available"]) == ("balance", "100"), "the day's credits have been renewed"


@pytest.mark.parametrize("status", ["pending", "failed", "cancelled", "quarantined"])
def test_every_change_of_a_purchase_is_an_event(reader: Reader, account: Account, status: str) -> None:
    purchase = buy(account)
    [(kind, created)] = reader.read()
    assert (kind, created["id"], created["status"]) == ("purchase", purchase.public_id, "created")
    Purchase.objects.filter(pk=purchase.pk).update(status=status)
    seen = [data["status"] for kind, data in reader.read() if kind == "purchase"]
    assert seen == [status]
    Purchase.objects.filter(pk=purchase.pk).update(label="Another name")
    changed_at = Purchase.objects.get(pk=purchase.pk).changed_at
    purchase.changed_at = None
    purchase.status = status
    purchase.save()
    assert Purchase.objects.get(pk=purchase.pk).changed_at == changed_at, "a trigger decides"


def test_a_stream_states_a_purchase_once_and_a_new_connection_perhaps_again(
    reader: Reader, account: Account
) -> None:
    purchase = buy(account)
    start = events.position_of(reader.last_id)
    reading = events.read((account.pk, start), timezone.now())
    assert [kind for kind, _id, _data in parsed(reading.content)] == ["purchase"]
    assert events.read((account.pk, reading.position), timezone.now()).content == b""
    Purchase.objects.filter(pk=purchase.pk).update(status="pending")
    again = events.read((account.pk, reading.position), timezone.now())
    assert [data["status"] for _kind, _id, data in parsed(again.content)] == ["pending"]
    Purchase.objects.filter(pk=purchase.pk).update(refunded=1)
    again = events.read((account.pk, again.position), timezone.now())
    assert [data["refunded"] for _kind, _id, data in parsed(again.content)] == [1]


def test_more_charges_than_one_reading_has_all_arrive_once_and_in_order(
    api: Any, reader: Reader, account: Account, monkeypatch: Any
) -> None:
    monkeypatch.setattr(events, "MOST_AT_ONCE", 3)
    made = [api.post("charges", use(1), key=f"c{number}").json()["id"] for number in range(10)]
    found = reader.read()
    assert [data["id"] for kind, data in found if kind == "charge"] == made
    assert [kind for kind, _data in found].count("balance") == 1 and found[-1][0] == "balance"


def test_a_stream_resumes_between_any_two_events(api: Any, account: Account, reader: Reader) -> None:
    start = reader.last_id
    made = [api.post("charges", use(1), key=f"c{number}").json()["id"] for number in range(4)]
    whole = parsed(events.read((account.pk, events.position_of(start)), timezone.now()).content)
    for number, (_kind, event_id, _data) in enumerate(some(whole[:4])):  # the last one too: a balance follows
        rest = parsed(events.read((account.pk, events.position_of(event_id)), timezone.now()).content)
        assert [data["id"] for kind, _id, data in rest if kind == "charge"] == made[number + 1 :]
        assert rest[-1][0] == "balance"


def test_an_id_that_the_account_never_had_gets_a_reload_and_the_present(account: Account) -> None:
    reader = Reader(account)
    reader.last_id = "99999-1"
    assert [kind for kind, _data in reader.read()] == ["reload", "balance"]
    assert reader.read() == []


# the front gives a header whose value is not ASCII to Django as an empty one
@pytest.mark.parametrize("last_id", ["", "x", "-1", "1", "1-", "9" * 400, "1.5-2", "1-2, 1-2"])
def test_a_malformed_id_is_refused(api: Any, last_id: str) -> None:
    follow = {FOLLOW: lambda follower: pytest.fail("a stream was opened")}
    answer = api.client.get("/api/v1/events", headers={"Last-Event-ID": last_id}, **follow)
    errors = [(error["field"], error["code"]) for error in answer.json()["errors"]]
    assert (answer.status_code, errors) == (400, [("Last-Event-ID", "invalid")])


def test_a_position_too_far_behind_gets_a_reload(
    api: Any, account: Account, reader: Reader, monkeypatch: Any
) -> None:
    for number in range(4):
        api.post("charges", use(1), key=f"c{number}")
    monkeypatch.setattr(events, "MOST_BEHIND", 3)
    assert [kind for kind, _data in reader.read()] == ["reload", "balance"]
    monkeypatch.setattr(events, "MOST_PURCHASES", 1)
    for number in range(2):
        buy(account, idempotency_key=f"p{number}")
    assert [kind for kind, _data in reader.read()] == ["reload", "balance"]


def test_events_of_another_account_are_never_read(
    api: Any, reader: Reader, charlie: User, api_of: Any
) -> None:
    assert api_of(charlie).post("charges", use(1), key="a").status_code == 201
    assert reader.read() == []


def test_without_the_web_front_the_endpoint_says_how_to_poll(
    api: Any, charlie: User, account: Account
) -> None:
    answer = api.get("events")
    assert (answer.status_code, answer.json()["code"]) == (406, "not_streamable")
    assert api.get("events", account=Account.objects.get(person=charlie).public_id).status_code == 404
    assert Client().get("/api/v1/events").status_code == 401


class TestTheFollower:
    """The stamp of a key changes when the key may no longer read the account."""

    def stamp(self, secret: str, account: Account) -> str:
        """The stamp of the beginning, or an empty one when the key is refused."""
        now = timezone.now()
        try:
            principal = api_keys.verify(secret, now)
        except api_keys.UnknownKey:
            return ""
        follower = live_updates.follower_of_principal(
            principal, account_id=account.pk, session_key="", position=Position(), now=now
        )
        self.begun = follower
        return follower.stamp

    def now(self) -> str:
        return live_updates.stamps([self.begun], timezone.now())[0]

    @pytest.mark.fault("Z5")
    def test_of_a_key_ends_with_revocation_expiry_membership_and_the_scope(
        self, team: Account, alice: User, bob: User, api_of: Any, clock: Any
    ) -> None:
        owner = api_of(alice, account=team)
        ends = (timezone.now() + timedelta(seconds=9)).isoformat()
        body = {"name": "k", "scopes": ["read"]}

        def begin(**fields: Any) -> dict[str, Any]:
            made: dict[str, Any] = owner.post("keys", body | fields).json()
            assert self.stamp(made["secret"], team) and self.now() == self.begun.stamp
            return made

        made = begin()
        owner.delete(f"keys/{made['id']}")
        assert self.now() == ""
        made = begin()
        owner.patch(f"keys/{made['id']}", {"scopes": ["spend"]})
        assert self.now() == ""
        begin(expires_at=ends)
        clock.shift(9)
        assert self.now() == ""
        assert self.stamp(api_of(bob, account=team).secret, team)
        memberships.change_role(Membership.objects.get(account=team, user=bob), "billing")
        assert self.now() not in ("", self.begun.stamp)
        memberships.remove(Membership.objects.get(account=team, user=bob), timezone.now())
        assert self.now() == ""

    def test_of_a_platform_key_follows_any_account_until_it_is_revoked(
        self, platform_api: Any, account: Account
    ) -> None:
        assert self.stamp(platform_api.secret, account) == self.now() != ""
        Account.objects.filter(pk=account.pk).update(erased_at=timezone.now())
        assert self.now() == ""

    def test_of_an_account_key_does_not_follow_another_account(
        self, api: Any, account: Account, charlie: User, account_of: Any
    ) -> None:
        principal = api_keys.verify(api.secret, timezone.now())
        follower = live_updates.follower_of_principal(
            principal,
            account_id=account_of(charlie).pk,
            session_key="",
            position=Position(),
            now=timezone.now(),
        )
        assert follower.stamp == ""
