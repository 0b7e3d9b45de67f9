"""Many open tabs on the web server that runs in production."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from bench.live_tabs import Tab, Tabs
from tests.conftest import person
from tests.integration.races.web import serving
from tests.usage.spending import spend

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


def in_loop(scenario: Coroutine[Any, Any, None]) -> None:
    with ThreadPoolExecutor(1) as pool:  # this thread may have the event loop of a browser test
        pool.submit(asyncio.run, scenario).result()


async def in_database(change: Callable[[], Any]) -> None:
    """Run the change in a thread, which leaves no connection behind."""

    def run() -> None:
        try:
            change()
        finally:
            connection.close()

    await asyncio.to_thread(run)


async def hears(tabs: list[Tab], events: int, seconds: float = 30) -> float:
    """The time at which the last of the tabs had this many events; waits for it."""
    async with asyncio.timeout(seconds):
        while not all(len(tab.versions) >= events for tab in tabs):
            await asyncio.sleep(0.02)
    return max(tab.versions[events - 1][0] for tab in tabs)


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
        before = [len(tab.versions) for tab in of_bob]
        for number in range(5):
            changed_at = time.monotonic()
            await in_database(lambda: spend(accounts[0], "1", timezone.now()))
            assert await hears(of_alice, number + 2) - changed_at < 2
        assert [len(tab.versions) for tab in of_bob] == before, "nothing of bob's changed"
        await tabs.close()

    with serving(processes=1) as address:
        in_loop(scenario(address))


def test_streams_outlast_a_lost_connection_to_the_database_and_end_with_their_session_and_the_process(
    people: list[User],
) -> None:
    account = Account.objects.get(person=people[0])
    keys = keys_of(people[:1], 2)

    async def scenario(address: str) -> None:
        _tabs, (one, other) = await open_tabs(address, keys)
        await in_database(lambda: spend(account, "1", timezone.now()))
        await hears([one, other], 2)
        await in_database(end_connections)
        await in_database(lambda: spend(account, "1", timezone.now()))
        await hears([one, other], 3)
        await in_database(lambda: SessionStore(keys[1]).delete())
        async with asyncio.timeout(15):
            while not other.ended:
                await asyncio.sleep(0.05)
        assert not one.ended

    with serving(processes=1) as address:
        connection.close()  # the test's own, before all are ended
        in_loop(scenario(address))
        ending = time.monotonic()
    assert time.monotonic() - ending < 10, "the server waited for its streams"


def end_connections() -> None:
    """End all others: the web server's."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
