"""Streams of live updates in one event loop, with a database and clients that are functions of the test."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import pytest

from config.front import live
from config.front.live import Streams
from tests import event_loop
from tests.config.front.rsgi import Response
from usage import live_updates
from usage.live_updates import Follower

HEADERS = [("Content-Type", "text/event-stream"), ("Content-Length", "0")]


class Client:
    """A client of one stream: what arrived, and whether it has gone or the stream has ended."""

    def __init__(self) -> None:
        self.text = ""
        self.response = Response(b"")
        self.has_gone = False
        self.ended = False

    @property
    def versions(self) -> list[str]:
        return [line.removeprefix("data: ") for line in self.text.split("\n") if line.startswith("data: ")]

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> "Transport":
        self.response = Response(b"", status, headers)
        return Transport(self)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.response = Response(body, status, headers)

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.response = Response(b"", status, headers)


class Transport:
    """The stream ends when nobody holds it any more, as granian's."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def send_bytes(self, data: bytes) -> None:
        if self._client.has_gone:
            raise RuntimeError("the client has gone")
        self._client.text += data.decode()

    def __del__(self) -> None:
        self._client.ended = True


class Ledger:
    """The versions of accounts, the stamps of sessions, and the calls that asked for them."""

    def __init__(self) -> None:
        self.versions: dict[UUID, str] = {}
        self.stamps: dict[str, str] = {}
        self.calls: list[int] = []
        self.is_down = False

    def changed(self, shown: dict[UUID, str], _now: Any) -> dict[UUID, str]:
        self.calls.append(len(shown))
        if self.is_down:
            raise RuntimeError("the database cannot be reached")
        return {
            key: self.versions[key] for key, seen in shown.items() if self.versions.get(key, seen) != seen
        }

    def stamps_of(self, followers: list[Follower], _now: Any) -> list[str]:
        return [self.stamps.get(follower.session_key, "") for follower in followers]


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    fake = Ledger()
    monkeypatch.setattr(live_updates, "changed", fake.changed)
    monkeypatch.setattr(live_updates, "stamps", fake.stamps_of)
    monkeypatch.setattr(live.connection, "close", lambda: None)
    for name, seconds in {"LOOK": 0.01, "EVENT": 0.05, "CHECK": 0.05, "BROKEN": 0.05}.items():
        monkeypatch.setattr(live, f"{name}_SECONDS", seconds)
    return fake


def follower(ledger: Ledger, account: UUID, session: str = "s", version: str = "1") -> Follower:
    ledger.versions.setdefault(account, version)
    ledger.stamps.setdefault(session, "valid")
    return Follower(session, uuid4(), account, stamp="valid", version=version)


async def open_stream(streams: Streams, one: Follower) -> Client:
    client = Client()
    await streams.open(one, client, HEADERS)
    return client


def run(scenario: Callable[[Streams], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        streams = Streams()
        await scenario(streams)
        streams.end_all()

    event_loop.run(whole())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_stream_begins_with_the_version_and_an_event_follows_each_change(ledger: Ledger) -> None:
    async def scenario(streams: Streams) -> None:
        account, other = uuid4(), uuid4()
        first = await open_stream(streams, follower(ledger, account))
        second = await open_stream(streams, follower(ledger, account))
        elsewhere = await open_stream(streams, follower(ledger, other, version="7"))
        assert first.versions == ["1"] and elsewhere.versions == ["7"]
        assert first.response.status == 200 and first.response.header("Connection") == "close"
        assert first.response.header("Content-Length") is None
        ledger.versions[account] = "2"
        await until(lambda: len(first.versions) == len(second.versions) == 2)
        assert first.versions == second.versions == ["1", "2"]
        assert "id: 2\ndata: 2\n\n" in first.text
        assert elsewhere.versions == ["7"]

    run(scenario)


def test_a_later_stream_states_the_newest_version_even_if_its_own_is_older(ledger: Ledger) -> None:
    async def scenario(streams: Streams) -> None:
        account = uuid4()
        first = await open_stream(streams, follower(ledger, account))
        ledger.versions[account] = "2"
        await until(lambda: first.versions[-1] == "2")
        late = await open_stream(streams, follower(ledger, account, version="1"))
        assert late.versions == ["2"]

    run(scenario)


def test_an_account_that_changes_all_the_time_has_one_event_for_each_interval(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVENT_SECONDS", 0.2)

    async def scenario(streams: Streams) -> None:
        account = uuid4()
        began = time.monotonic()
        client = await open_stream(streams, follower(ledger, account))
        for number in range(2, 100):
            ledger.versions[account] = str(number)
            await asyncio.sleep(0.01)
        intervals = (time.monotonic() - began) / live.EVENT_SECONDS
        assert len(client.versions) <= intervals + 2
        await until(lambda: client.versions[-1] == "99")

    run(scenario)


def test_nothing_is_asked_while_nobody_follows(ledger: Ledger) -> None:
    async def scenario(streams: Streams) -> None:
        client = await open_stream(streams, follower(ledger, uuid4()))
        await until(lambda: ledger.calls)
        client.has_gone = True
        ledger.versions = dict.fromkeys(ledger.versions, "2")
        await until(lambda: len(streams) == 0)
        asked, looks = -1, 0
        while asked != len(ledger.calls):  # the last look may be under way
            asked, looks = len(ledger.calls), looks + 1
            assert looks < 10
            await asyncio.sleep(0.2)
        again = await open_stream(streams, follower(ledger, next(iter(ledger.versions)), version="2"))
        ledger.versions = dict.fromkeys(ledger.versions, "3")
        await until(lambda: again.versions[-1] == "3")

    run(scenario)


def test_a_stream_ends_when_its_session_ends_or_changes(ledger: Ledger) -> None:
    async def scenario(streams: Streams) -> None:
        account = uuid4()
        gone, changed, stays = [
            await open_stream(streams, follower(ledger, account, name))
            for name in ("gone", "changed", "stays")
        ]
        ledger.stamps |= {"gone": "", "changed": "another"}
        await until(lambda: gone.ended and changed.ended)
        assert gone.text.endswith("retry: 1\n\n"), "the browser asks at once whether it may follow"
        assert not stays.ended and len(streams) == 1

    run(scenario)


def test_of_too_many_streams_of_a_session_the_oldest_is_replaced(ledger: Ledger) -> None:
    async def scenario(streams: Streams) -> None:
        account = uuid4()
        clients = [
            await open_stream(streams, follower(ledger, account)) for _ in range(live.MOST_OF_GROUP + 1)
        ]
        other = await open_stream(streams, follower(ledger, account, "other"))
        assert [client.ended for client in clients] == [True] + [False] * live.MOST_OF_GROUP
        assert "event: replaced\n" in clients[0].text and not other.ended

    run(scenario)


def test_silent_streams_have_an_event_regularly_and_none_lasts_for_ever(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.05)

    async def scenario(streams: Streams) -> None:
        client = await open_stream(streams, follower(ledger, uuid4()))
        await until(lambda: len(client.versions) > 2)
        assert set(client.versions) == {"1"}
        monkeypatch.setattr(live, "LONGEST_SECONDS", 0.1)
        brief = await open_stream(streams, follower(ledger, uuid4()))
        await until(lambda: brief.ended)
        assert not client.ended and len(streams) == 1

    run(scenario)


def test_streams_stay_open_while_the_database_is_gone_and_hear_what_changed_meanwhile(ledger: Ledger) -> None:
    async def scenario(streams: Streams) -> None:
        account = uuid4()
        client = await open_stream(streams, follower(ledger, account))
        ledger.is_down = True
        asked = len(ledger.calls)
        await until(lambda: len(ledger.calls) > asked + 1)
        ledger.versions[account] = "2"
        ledger.is_down = False
        await until(lambda: client.versions == ["1", "2"])

    run(scenario)


def test_browsers_come_back_spread_over_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REOPENED_EACH_SECOND", 2)

    def retry(client: Client) -> int:
        return int(client.text.partition("retry: ")[2].partition("\n")[0])

    async def scenario(streams: Streams) -> None:
        account = uuid4()
        clients = [
            await open_stream(streams, follower(ledger, account, f"s{number}")) for number in range(60)
        ]
        waits = [retry(client) for client in clients]
        assert all(1000 <= wait <= 31_000 for wait in waits)
        assert max(waits[:3]) <= 3000 < 10_000 < max(waits)
        assert len(set(waits)) > 50
        for client in clients:
            client.text = ""
        ledger.versions[account] = "2"
        await until(lambda: all(client.text for client in clients))
        assert len({retry(client) for client in clients}) > 50, "those of one account too"

    run(scenario)


def test_at_the_end_of_the_process_all_streams_end_and_none_is_opened(ledger: Ledger) -> None:
    async def scenario(streams: Streams) -> None:
        one = follower(ledger, uuid4())
        client = await open_stream(streams, one)
        streams.end_all()
        assert client.ended and len(streams) == 0
        late = await answer(streams, one)
        assert late.response.status == 503

    run(scenario)


def test_only_a_response_with_a_follower_becomes_a_stream(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(streams: Streams) -> None:
        one = follower(ledger, uuid4())
        assert (await answer(streams, one)).versions == ["1"]
        assert (await answer(streams, one, status=403)).response.status == 403
        assert (await answer(streams, None, status=302)).response.status == 302
        monkeypatch.setattr(live, "MOST_STREAMS", 1)
        assert (await answer(streams, one)).response.status == 503

    run(scenario)


async def answer(streams: Streams, one: Follower | None, status: int = 200) -> Client:
    """The request for a stream, for which Django names this follower."""

    class Bridge:
        async def answer(self, environ: dict[str, Any], protocol: Any) -> None:
            if one is not None:
                environ[live.FOLLOW](one)
            protocol.response_bytes(status, HEADERS, b"")

    client = Client()
    await streams.answer({}, client, Bridge())  # type: ignore[arg-type]
    return client
