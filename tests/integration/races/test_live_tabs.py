"""Many open tabs on the web server that runs in production."""

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from bench.live_tabs import Tab, Tabs
from tests import event_loop
from tests.conftest import person
from tests.integration.races.web import serving
from tests.usage.spending import spend
from usage import live_updates

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS, TABS_OF_SESSION = 60, 5
NAMES = ("alice", "bob", "charlie")


@pytest.fixture
def people(transactional_db: None) -> list[User]:
    call_command("load_catalogue", verbosity=0)
    return [person(name) for name in NAMES]


def keys_of(people: list[User], sessions: int = SESSIONS) -> list[str]:
    """Sessions of these people in turn."""
    keys = []
    for number in range(sessions):
        client = Client()
        client.force_login(people[number % len(people)])
        keys.append(client.session.session_key or "")
    return keys


async def in_database(call: Callable[[], Any]) -> Any:
    """The call's result, from a thread that leaves no connection behind."""

    def run() -> Any:
        try:
            return call()
        finally:
            connection.close()

    return await asyncio.to_thread(run)


def spent(account: Account) -> str:
    """Spend a credit; the version afterwards."""
    spend(account, "1", timezone.now())
    return live_updates.version_of(account.pk, timezone.now())


async def hears(tabs: list[Tab], version: str, seconds: float = 60) -> float:
    """The time at which the last of the tabs had this version; waits for it."""

    def arrivals() -> list[float]:
        return [next((at for at, stated in tab.versions if stated == version), 0.0) for tab in tabs]

    async with asyncio.timeout(seconds):
        while not all(arrivals()):
            await asyncio.sleep(0.02)
    return max(arrivals())


async def open_tabs(address: str, keys: list[str]) -> tuple[Tabs, list[Tab]]:
    tabs = Tabs(f"{address}/live")
    cookie = f"refill_session_{address.rpartition(':')[2]}="
    return tabs, await tabs.open([cookie + key for key in keys])


def test_hundreds_of_tabs_hear_of_their_accounts_changes_within_two_seconds(people: list[User]) -> None:
    accounts = [Account.objects.get(person=user) for user in people]
    keys = keys_of(people)

    async def scenario(address: str) -> None:
        tabs, opened = await open_tabs(address, keys * TABS_OF_SESSION)
        assert {tab.status for tab in opened} == {200} and len(opened) == 300
        of_alice, of_bob = opened[0::3], opened[1::3]
        delays: list[float] = []
        while len(delays) < 5 or (median(delays[-5:]) >= 2 and len(delays) < 20):  # the machine may be busy
            version = await in_database(lambda: spent(accounts[0]))
            committed_at = time.monotonic()
            delays.append(await hears(of_alice, version) - committed_at)
        assert median(delays[-5:]) < 2, delays
        assert {len({stated for _at, stated in tab.versions}) for tab in of_bob} == {1}, "nothing changed"
        await tabs.close()

    with serving(processes=1) as address:
        event_loop.run(scenario(address))


def test_streams_outlast_a_lost_connection_to_the_database_and_end_with_their_session_and_the_process(
    people: list[User],
) -> None:
    account = Account.objects.get(person=people[0])
    keys = keys_of(people[:1], 2)

    async def scenario(address: str) -> None:
        _tabs, (one, other) = await open_tabs(address, keys)
        await hears([one, other], await in_database(lambda: spent(account)))
        await in_database(end_connections)
        await hears([one, other], await in_database(lambda: spent(account)))
        await in_database(lambda: SessionStore(keys[1]).delete())
        async with asyncio.timeout(60):
            while not other.ended:
                await asyncio.sleep(0.05)
        assert not one.ended

    with serving(processes=1) as address:
        connection.close()  # the test's own, before all are ended
        event_loop.run(scenario(address))
        ending = time.monotonic()
    assert time.monotonic() - ending < 18, "the server waited for its streams, until it was killed after 20"


def end_connections() -> None:
    """End all others: the web server's."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
