"""The stream of an account's events: Server-Sent Events as objects, without input or output.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import httpx

from refill_client._calls import Call, reader
from refill_client._decoding import decode, given
from refill_client.models import Balance, Charge, Event, Purchase

_KINDS = {"balance": Balance, "charge": Charge, "purchase": Purchase}
SILENCE_SECONDS = 60.0  # the server writes at least every 20 seconds
REOPEN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Stream:
    """A request for the stream, resumed after an event."""

    call: Call[None]

    def after(self, event_id: str) -> Stream:
        return Stream(replace(self.call, last_event_id=event_id))


def events(*, last_event_id: str | None = None, account: str | None = None) -> Stream:
    """Events of the account as they happen, without end: `balance`, `charge`, `purchase`.

    The connection is opened again when it breaks, and continues after the last event; one may come twice.
    `reload` says that more has happened than the server repeats: read what you need again.
    `last_event_id` is the `id` of the last event that another iterator returned.
    """
    call: Call[None] = Call("GET", "/events", reader(None), query=given({"account": account}))
    return Stream(replace(call, last_event_id=last_event_id))


def until_silent(request: httpx.Request) -> httpx.Request:
    """The request, whose stream breaks when the server has been silent for SILENCE_SECONDS."""
    request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "read": SILENCE_SECONDS}
    return request


class EventReader:
    """Builds events from the lines of a stream."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def read(self, line: str) -> Event | None:
        """The event that the line ends; None for any other line. A type that is not known is no event."""
        if line:
            name, _colon, value = line.partition(":")
            if name:
                value = value.removeprefix(" ")
                self._fields[name] = f"{self._fields[name]}\n{value}" if name in self._fields else value
            return None
        fields, self._fields = self._fields, {}
        kind = fields.get("event", "")
        if kind == "reload":
            return Event(id=fields.get("id", ""), type=kind, data=None)
        if kind not in _KINDS:
            return None
        data: Any = decode(_KINDS[kind], json.loads(fields["data"]))
        return Event(id=fields.get("id", ""), type=kind, data=data)
