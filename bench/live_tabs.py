"""Open tabs: how many streams of live updates one web process serves, and how late a change arrives."""

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlsplit
from uuid import UUID

from django.test import Client
from django.utils import timezone

from accounts import registration
from accounts.models import User
from bench import web
from bench.measures import Measure
from billing import ledger
from usage import live_updates

AT_ONCE = 32  # requests for streams under way
LEVELS = (500, 2000, 4000)  # open tabs
PEOPLE, TABS_OF_SESSION = 100, 5
CHANGES_PER_SECOND = 5
LATEST_SECONDS = 2.0


@dataclass(eq=False, slots=True)
class Tab:
    """One open stream: the versions it stated with the times at which they arrived."""

    cookie: str
    status: int = 0
    headers: str = ""
    versions: list[tuple[float, str]] = field(default_factory=list)
    text: str = ""
    ended: bool = False


class Tabs:
    """Streams of one address, read by the running event loop."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, cookies: Sequence[str]) -> list[Tab]:
        """One stream for each cookie; returns when all have answered."""
        return list(await asyncio.gather(*map(self._open, cookies)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _open(self, cookie: str) -> Tab:
        tab = Tab(cookie)
        async with self._gate:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            request = (
                f"GET {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nCookie: {cookie}\r\n\r\n"
            )
            writer.write(request.encode())
            tab.headers = (await reader.readuntil(b"\r\n\r\n")).decode()
            tab.status = int(tab.headers.split(" ", 2)[1])
        self._tasks.append(asyncio.create_task(self._read(tab, reader, writer)))
        return tab

    async def _read(self, tab: Tab, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                text = line.decode().strip()
                tab.text += f"{text}\n"
                if text.startswith("data: "):
                    tab.versions.append((time.monotonic(), text.removeprefix("data: ")))
        finally:
            tab.ended = True
            writer.close()


def live_tabs(seconds: int) -> Measure:
    """The largest number of LEVELS that one process serves so that every tab has each change in time."""
    served, details = 0, []
    with web.serving(workers=1) as server:
        accounts, sessions = _signed_in()
        cookies = [f"{server.session_cookie}={session}" for session in sessions * TABS_OF_SESSION]
        for count in LEVELS:
            latest = asyncio.run(_latest(server.address, cookies[:count], accounts, seconds))
            details.append(f"{count:,} tabs: {latest:.2f} s")
            if latest > LATEST_SECONDS:
                break
            served = count
    return served, f"latest of all updates; {', '.join(details)}"


def _signed_in() -> tuple[list[UUID], list[str]]:
    """New accounts, and sessions of their users in turn, as many as the largest level needs."""
    clients = [Client() for _number in range(LEVELS[-1] // TABS_OF_SESSION)]
    accounts = []
    for number in range(PEOPLE):
        user = User.objects.create_user(f"tabs-{uuid.uuid4().hex}@example.org")
        account = registration.open_personal_account(user, timezone.now())
        ledger.grant(
            account_id=account.pk, credits=Decimal(1000), kind="top_up", label="Pack", key="tabs", now=timezone.now()
        )  # fmt: skip
        accounts.append(account.pk)
        for client in clients[number::PEOPLE]:
            client.force_login(user)
    return accounts, [client.session.session_key or "" for client in clients]


async def _latest(address: str, cookies: Sequence[str], accounts: Sequence[UUID], seconds: int) -> float:
    """How late the latest update came, in seconds. A tab that has not heard of a change is as late as the end."""
    tabs = Tabs(f"{address}/live")
    try:
        opened = await tabs.open(cookies)
        refused = sum(tab.status != 200 for tab in opened)
        if refused:
            raise RuntimeError(f"{refused} of {len(opened)} streams were refused")
        changes = list[tuple[float, UUID, int]]()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            account = random.choice(accounts)
            version = await asyncio.to_thread(_change, account)
            changes.append((time.monotonic(), account, version))
            await asyncio.sleep(1 / CHANGES_PER_SECOND)
        await asyncio.sleep(LATEST_SECONDS + 1)
        end = time.monotonic()
        followers = {account: opened[place::PEOPLE] for place, account in enumerate(accounts)}
        return max(
            _arrival(tab, version, end) - at for at, account, version in changes for tab in followers[account]
        )
    finally:
        with suppress(OSError):
            await tabs.close()


def _change(account_id: UUID) -> int:
    """Charge the account; the number of its newest entry."""
    request = ledger.ChargeRequest(
        account_id=account_id, credits=Decimal("0.001"), key=uuid.uuid4().hex, service="gpt-4o"
    )
    ledger.charge(request, timezone.now())
    return _number(live_updates.version_of(account_id, timezone.now()))


def _arrival(tab: Tab, version: int, end: float) -> float:
    """When the tab had this version or a newer one."""
    return next((at for at, stated in tab.versions if _number(stated) >= version), end)


def _number(version: str) -> int:
    number = version.partition(".")[0]
    return int(number) if number.isdigit() else 0
