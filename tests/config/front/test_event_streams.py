"""Streams of GET /events: they have the events of an account, and follow the same rules as those of pages."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from config.front import live
from config.front.live import Streams
from tests.config.front import test_live
from tests.config.front.test_live import Client, Ledger, answer, follower, open_stream, run, until
from usage.api import events
from usage.api.events import Position, Reading
from usage.live_updates import Follower

ledger = test_live.ledger


class Feed:
    """The events of accounts, as `events.read` returns them: one for each number above the position."""

    def __init__(self) -> None:
        self.newest: dict[UUID, int] = {}
        self.readings = 0
        self.is_down = False

    def read(self, after: tuple[UUID, Position], _now: Any) -> Reading:
        self.readings += 1
        if self.is_down:
            raise RuntimeError("the wallet is in use")
        account, position = after
        newest = self.newest.setdefault(account, 1)
        if position.seq is None:
            return Reading(f"id: {newest}\n\n".encode(), Position(newest))
        if position.seq == newest:
            return Reading(b"", position)
        following = position.seq + 1
        return Reading(f"id: {following}\n\n".encode(), Position(following), more=following < newest)


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    fake = Feed()
    monkeypatch.setattr(events, "read", fake.read)
    return fake


def key_follower(
    ledger: Ledger, account: UUID, position: Position | None = None, key: UUID | None = None
) -> Follower:
    ledger.versions.setdefault(account, "1")
    ledger.stamps.setdefault("", "valid")
    terms = {"stamp": "valid", "version": "1", "key_id": key or uuid4(), "position": position or Position()}
    return Follower("", None, account, **terms)


def ids(client: Client) -> list[str]:
    return [line.removeprefix("id: ") for line in client.text.split("\n") if line.startswith("id: ")]


class TestAStreamOfTheApi:
    def test_has_every_event_since_its_position_and_those_that_follow(
        self, ledger: Ledger, feed: Feed
    ) -> None:
        async def scenario(streams: Streams) -> None:
            account = uuid4()
            feed.newest[account] = 5
            begun = await open_stream(streams, key_follower(ledger, account))
            resumed = await open_stream(streams, key_follower(ledger, account, Position(2)))
            page = await open_stream(streams, follower(ledger, account))
            await until(lambda: ids(begun) and len(ids(resumed)) == 3)
            assert (ids(begun), ids(resumed)) == (["5"], ["3", "4", "5"])
            feed.newest[account], ledger.versions[account] = 7, "2"
            await until(lambda: ids(begun)[-1] == ids(resumed)[-1] == "7")
            assert (ids(begun), ids(resumed)) == (["5", "6", "7"], ["3", "4", "5", "6", "7"])
            await until(lambda: page.versions == ["1", "2"])

        run(scenario)

    def test_loses_nothing_while_events_cannot_be_read(self, ledger: Ledger, feed: Feed) -> None:
        async def scenario(streams: Streams) -> None:
            account = uuid4()
            client = await open_stream(streams, key_follower(ledger, account))
            await until(lambda: ids(client) == ["1"])
            feed.is_down = True
            feed.newest[account], ledger.versions[account] = 3, "2"
            readings = feed.readings
            await until(lambda: feed.readings > readings)
            assert ids(client) == ["1"] and not client.ended
            feed.is_down = False
            await until(lambda: ids(client) == ["1", "2", "3"])

        run(scenario)

    def test_has_comments_while_nothing_happens_and_ends_when_its_key_does(
        self, ledger: Ledger, feed: Feed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "BEAT_SECONDS", 0.05)

        async def scenario(streams: Streams) -> None:
            client = await open_stream(streams, key_follower(ledger, uuid4()))
            await until(lambda: client.text.count(": \n\n") > 2)
            assert ids(client) == ["1"] and "data: 1" not in client.text
            ledger.stamps[""] = ""
            await until(lambda: client.ended)

        run(scenario)

    def test_replaces_the_oldest_of_its_key_and_account(self, ledger: Ledger, feed: Feed) -> None:
        async def scenario(streams: Streams) -> None:
            account, key = uuid4(), uuid4()
            clients = [
                await open_stream(streams, key_follower(ledger, account, key=key))
                for _ in range(live.MOST_OF_GROUP + 1)
            ]
            elsewhere = await open_stream(streams, key_follower(ledger, uuid4(), key=key))
            assert [client.ended for client in clients] == [True] + [False] * live.MOST_OF_GROUP
            assert not elsewhere.ended

        run(scenario)

    def test_is_refused_with_a_problem_when_the_process_ends(self, ledger: Ledger, feed: Feed) -> None:
        async def scenario(streams: Streams) -> None:
            streams.end_all()
            client = await answer(streams, key_follower(ledger, uuid4()))
            assert client.response.status == 503
            assert client.response.header("Content-Type") == "application/problem+json"
            assert b'"code":"unavailable"' in client.response.body

        run(scenario)
