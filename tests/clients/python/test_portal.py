"""The Python client against a running portal, and the portal in memory, which gives the same outcomes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
from django.utils import timezone
from refill_client import (
    ApiError,
    AsyncClient,
    Client,
    Conflict,
    HoldClosed,
    InsufficientCredits,
    InvalidRequest,
    KeyReused,
    NotFound,
    RefillError,
    Unauthenticated,
)
from refill_client.models import Balance, Invitation, Member
from refill_client.testing import FakePortal

from tests import event_loop
from tests.conftest import person
from usage.history import exports

pytestmark = pytest.mark.django_db(transaction=True)

SERVICE = "document-question"  # one credit for each use
USES = {"uses": 1}


def outcome(act: Callable[[], Any]) -> Any:
    """What happened: the class of the error, or the credits of the result."""
    try:
        result = act()
    except RefillError as error:
        return type(error).__name__, getattr(error, "code", "")
    return getattr(result, "credits", result)


def story(client: Client, available: Callable[[], Decimal]) -> list[Any]:
    """Moves of one account with 10 credits, with their outcomes and the credits available after each."""
    held = client.open_hold(SERVICE, "4", idempotency_key="h")
    charge = client.charge(SERVICE, {"uses": 2}, idempotency_key="c")
    moves: list[Callable[[], Any]] = [
        lambda: client.charge(SERVICE, {"uses": 2}, idempotency_key="c"),
        lambda: client.charge(SERVICE, {"uses": 3}, idempotency_key="c"),
        lambda: client.charge(SERVICE, {"uses": 5}),
        lambda: client.charge("no-such-service", USES),
        lambda: client.charge(SERVICE, {"images": 1}),
        lambda: client.capture_hold(held.id, {"uses": 3}),
        lambda: client.release_hold(held.id),
        lambda: client.reverse_charge(charge.id, credits="0.5"),
        lambda: client.reverse_charge(charge.id, credits="2"),
        lambda: client.estimate(SERVICE, {"uses": 7}),
        lambda: [item.status for item in client.charge_batch([use(1), use(100), use(2)])],
        lambda: client.get_hold("hold_none"),
    ]
    return [(outcome(move), available()) for move in moves]


def use(number: int) -> Any:
    return {"service": SERVICE, "usage": {"uses": number}}


def test_the_portal_in_memory_gives_the_outcomes_of_the_product(portal: str, platform_key: str) -> None:
    with Client(portal, platform_key, account="reader") as client:
        account = client.create_account(external_id="reader", name="A reader")
        free = client.balance().available
        if free < 10:
            client.give_credits(account.id, 10 - free)
        else:
            client.charge(SERVICE, {"uses": int(free) - 10})
        real = story(client, lambda: client.balance().available)
    memory = FakePortal({SERVICE: {"uses": "1"}})
    memory.give("reader", "10")
    assert story(memory.client("reader"), lambda: memory.available("reader")) == real


def test_a_platform_opens_an_account_and_charges_its_use(portal: str, platform_key: str) -> None:
    with Client(portal, platform_key) as client:
        account = client.create_account(external_id="user-1", name="Ann", zone="Europe/Berlin")
        grant = client.give_credits("user-1", Decimal("12.5"), kind="top_up", reason="welcome")
        assert grant.granted == Decimal("12.5") and grant.created_at.tzinfo is UTC
        with client.hold(SERVICE, {"uses": 5}, account="user-1", metadata={"call": 7}) as hold:
            charge = hold.capture({"uses": 2})
        assert charge.credits == 2 and charge.account == account.id and charge.lines[0].quantity == 2
        assert client.get_charge(charge.id).metadata == {"call": 7}
        assert client.get_hold(hold.id).charge == charge.id
        with client.hold(SERVICE, 3, account="user-1") as hold:
            pass
        assert client.get_hold(hold.id).status == "released"
        report = client.usage_report(account="user-1", group_by="service", interval="day")
        assert report.total.credits == 2 and report.data[0].group == SERVICE
        project = client.create_project("Server", daily_limit="1", account="user-1")
        assert client.update_project(project.id, daily_limit=None, account="user-1").daily_limit is None


def test_refusals_have_the_figures_and_the_ways_on(portal: str, platform_key: str) -> None:
    with Client(portal, platform_key, account="poor") as client:
        client.create_account(external_id="poor")
        available = client.balance().available
        with pytest.raises(InsufficientCredits) as raised:
            client.charge(SERVICE, {"uses": 100_000})
        error = raised.value
        assert (error.needed, error.available, error.status) == (100_000, available, 402)
        assert {way.kind for way in error.ways_on} >= {"upgrade", "buy"} and error.request_id
        assert any(way.url and way.url.startswith("http") for way in error.ways_on)
        with pytest.raises(InvalidRequest) as invalid:
            client.charge(SERVICE, {"uses": -1})
        assert invalid.value.errors[0].field == "usage.uses"
        client.charge(SERVICE, USES, idempotency_key="one")
        with pytest.raises(KeyReused):
            client.charge(SERVICE, {"uses": 2}, idempotency_key="one")
        with pytest.raises(HoldClosed), client.hold(SERVICE, USES) as hold:
            client.release_hold(hold.id)
            hold.capture(USES)
        with pytest.raises(NotFound):
            client.get_account("nobody")
    with pytest.raises(Unauthenticated), Client(portal, "rf_wrong") as stranger:
        stranger.balance()


def test_lists_are_iterators_over_all_pages(portal: str, platform_key: str) -> None:
    with Client(portal, platform_key, account="busy") as client:
        client.create_account(external_id="busy")
        client.give_credits("busy", 50)
        items = client.charge_batch([{**use(1), "conversation": f"c-{number}"} for number in range(7)])
        assert [item.status for item in items] == [201] * 7
        charges = list(client.charges(limit=2, service=SERVICE))
        assert sorted(charge.conversation or "" for charge in charges) == [f"c-{n}" for n in range(7)]
        assert not list(client.charges(to=datetime(2020, 1, 1, tzinfo=UTC)))
        assert {one.kind for one in client.transactions(limit=3)} >= {"grant", "charge"}
        assert SERVICE in {service.key for service in client.services(limit=50)}
        assert client.service(SERVICE).lines[0].meter == "uses"


def test_everything_that_can_be_read_is_decoded(portal: str, platform_key: str) -> None:
    with Client(portal, platform_key, account="visitor") as client:
        client.create_account(external_id="visitor")
        assert client.get_account("visitor").external_id == "visitor"
        assert next(client.grants()).created_at.tzinfo is UTC
        assert next(client.plans()).prices is not None
        assert next(client.packs()).credits > 0
        assert client.subscription().plan and client.auto_top_up().enabled is False
        alerts = client.set_alerts(enabled=True, below=Decimal("7.5"))
        assert alerts.below == Decimal("7.5") and client.alerts() == alerts
        assert list(client.projects()) == list(client.provider_keys()) == list(client.purchases()) == []
        pack = next(one for one in client.packs() if one.eligible)
        checkout = client.checkout(pack=pack.key)
        assert checkout.url and client.get_purchase(checkout.purchase).credits == checkout.credits


def test_webhook_endpoints_are_managed(portal: str, platform_key: str) -> None:
    with Client(portal, platform_key, account="hooks") as client:
        client.create_account(external_id="hooks")
        endpoint = client.create_webhook_endpoint("https://hooks.example.com/", events=["balance.low"])
        assert (endpoint.secret or "").startswith("whsec_") and endpoint.events == ["balance.low"]
        rotated = client.rotate_webhook_secret(endpoint.id)
        assert rotated.secret != endpoint.secret and rotated.previous_secret_until
        assert client.update_webhook_endpoint(endpoint.id, description="mine").description == "mine"
        assert [one.secret for one in client.webhook_endpoints()] == [None]
        queued = client.test_webhook_endpoint(endpoint.id)
        assert list(client.webhook_deliveries(endpoint=endpoint.id, status="pending")) == [queued]
        assert (queued.event.type, queued.response) == ("endpoint.test", None)
        with pytest.raises(Conflict):
            client.redeliver_webhook(queued.id)
        client.delete_webhook_endpoint(endpoint.id)
        assert list(client.webhook_endpoints()) == []
    with Client(portal, platform_key) as client:
        of_platform = client.create_webhook_endpoint("https://platform.example.com/")
        assert (of_platform.account, len(of_platform.events)) == (None, 12)
        client.delete_webhook_endpoint(of_platform.id)


def test_the_asynchronous_client_has_the_same_methods(portal: str, platform_key: str) -> None:
    async def play() -> None:
        async with AsyncClient(portal, platform_key, account="later") as client:
            await client.create_account(external_id="later")
            await client.give_credits("later", "5")
            before = (await client.balance()).available
            async with client.hold(SERVICE, {"uses": 3}) as hold:
                await hold.capture({"uses": 2})
            assert (await client.balance()).available == before - 2
            assert [one.id async for one in client.charges(limit=1)] == [hold.charge and hold.charge.id]

    event_loop.run(play())


def test_events_arrive_as_they_happen_and_continue_after_a_break(portal: str, platform_key: str) -> None:
    with Client(portal, platform_key, account="listener") as client:
        client.create_account(external_id="listener")
        stream = client.events()
        assert next(stream).type == "balance"
        charge = client.charge(SERVICE, USES)
        charged, after = next(stream), next(stream)
        assert (charged.type, charged.data) == ("charge", charge)
        assert isinstance(after.data, Balance) and after.data.available == client.balance().available
        stream.close()  # type: ignore[attr-defined]
        missed = [client.charge(SERVICE, USES) for _number in range(2)]
        resumed = client.events(last_event_id=after.id)
        assert [next(resumed).data for _charge in missed] == missed
    with Client(portal, platform_key, account="listener") as client:
        assert [event.type for event in islice(client.events(last_event_id="999999-1"), 2)] == [
            "reload",
            "balance",
        ]
        with pytest.raises(InvalidRequest):
            next(client.events(last_event_id="none"))
    with pytest.raises(Unauthenticated), Client(portal, "rf_wrong") as stranger:
        next(stranger.events())


def test_events_arrive_in_an_event_loop(portal: str, platform_key: str) -> None:
    async def play() -> None:
        async with AsyncClient(portal, platform_key, account="async-listener") as client:
            await client.create_account(external_id="async-listener")
            events = client.events()
            assert (await anext(events)).type == "balance"
            charge = await client.charge(SERVICE, USES)
            assert (await anext(events)).data == charge

    event_loop.run(play())


def test_members_invitations_and_keys_are_managed(portal: str, platform_key: str) -> None:
    user = person("manager")
    with Client(portal, platform_key, account="firm") as client:
        client.create_account(external_id="firm")
        member = client.add_member(user=user.public_id, role="owner")
        assert isinstance(member, Member) and [one.id for one in client.members()] == [member.id]
        assert client.update_member(member.id, monthly_limit="7.5").monthly_limit == Decimal("7.5")
        assert client.update_member(member.id, monthly_limit=None).monthly_limit is None
        key = client.create_key("agent", ["read", "spend", "manage"], member=member.user)
        changed = client.update_key(key.id, daily_limit=5, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
        assert (changed.daily_limit, changed.expires_at) == (Decimal(5), datetime(2100, 1, 1, tzinfo=UTC))
        assert client.update_key(key.id, daily_limit=None, expires_at=None).expires_at is None
        with Client(portal, key.secret) as own:
            invited = own.add_member(email="guest@example.org", monthly_limit=3)
            assert isinstance(invited, Invitation) and invited == next(own.invitations())
            own.revoke_invitation(own.invite("other@example.org").id)
            assert {one.status for one in own.invitations()} == {"open", "revoked"}
            with pytest.raises(ApiError) as refused:
                own.remove_member(member.id)
            assert refused.value.code == "last_owner"
            client.revoke_key(key.id)
            with pytest.raises(Unauthenticated):
                own.balance()


def test_the_history_is_exported_and_has_statements(portal: str, platform_key: str) -> None:
    with Client(portal, platform_key, account="historian") as client:
        client.create_account(external_id="historian")
        client.give_credits("historian", 7)
        client.charge(SERVICE, {"uses": 2})
        started = client.create_export(kind="charge", from_=datetime(2020, 1, 1, tzinfo=UTC))
        assert (started.state, started.kind) == ("waiting", "charge")
        with pytest.raises(Conflict, match="being written"):
            client.download_export(started.id)
        exports.write_waiting(timezone.now())
        [shown] = client.exports()
        assert (shown.id, shown.state, shown.rows) == (started.id, "ready", 1)
        assert client.download_export(started.id).decode("utf-8-sig").startswith("time_utc,")
        newest = client.statement(limit=1)
        assert newest.data[0].credits == -2 and newest.has_more
        assert client.statement(limit=1, cursor=newest.next_cursor).page.closing_balance == (
            newest.page.opening_balance
        )
        assert json.loads(client.signed_statement())["format"] == "refill-statement/1"
        with pytest.raises(NotFound):
            client.leave()
        assert list(client.team_requests()) == []
