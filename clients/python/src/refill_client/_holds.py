"""A hold as a context: opened on entry, captured by the caller, released on exit.

The rule on exit: a hold that was captured or released stays as it is. Any other hold is released, whether the
block ended normally or with an exception. If the outcome of a capture is unknown, nothing is released: it may
have taken effect, and can be sent again with its idempotency key until the hold expires.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from refill_client import _spending
from refill_client._calls import Call
from refill_client._decoding import Amount
from refill_client.errors import ApiError, RefillError
from refill_client.models import Charge, Hold
from refill_client.usage import Usage

if TYPE_CHECKING:
    from refill_client.client import AsyncClient, Client

_log = logging.getLogger("refill_client")


class CaptureFields(TypedDict, total=False):
    """What a capture may have beside the usage. `credits`: an amount instead of the usage."""

    credits: Amount
    options: Mapping[str, Any]
    metadata: Mapping[str, Any]
    idempotency_key: str


class ChildFields(_spending.ChargeFields, total=False):
    """What a child of a hold may name beside its service and maximum."""

    expires_in: int
    idempotency_key: str


class _HoldContext:
    """What both contexts know: the call that opens the hold, and whether it is still to be released."""

    def __init__(self, opening: Call[Hold]) -> None:
        self._opening = opening
        self._hold: Hold | None = None
        self._to_release = False
        self.charge: Charge | None = None
        """The charge, once captured."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._hold.id if self._hold else 'not opened'}>"

    @property
    def hold(self) -> Hold:
        """The hold as it was opened. Raises RuntimeError before the block is entered."""
        if self._hold is None:
            raise RuntimeError("the hold is opened by `with`")
        return self._hold

    @property
    def id(self) -> str:
        return self.hold.id

    def _opened(self, hold: Hold) -> None:
        self._hold = hold
        self._to_release = True

    def _capturing(self, usage: Usage | None, **fields: Unpack[CaptureFields]) -> Call[Charge]:
        """The call that captures; from here on the hold may be captured, so it is not released."""
        call = _spending.capture_hold(self.id, usage, **fields)
        self._to_release = False
        return call

    def _child(self, service: str, maximum: Amount | Mapping[str, Any], fields: ChildFields) -> Call[Hold]:
        """The call that opens a child of this hold, of the same account."""
        named: ChildFields = {"account": self.hold.account, **fields}
        return _spending.open_hold(service, maximum, parent=self.id, **named)

    def _release_failed(self, error: RefillError) -> None:
        """The hold ends by itself at `expires_at`; the block's own exception must not be hidden."""
        _log.warning("hold %s was not released and ends at %s: %s", self.id, self.hold.expires_at, error)


class HoldContext(_HoldContext):
    """`with client.hold(service, maximum) as hold: … hold.capture(usage)`"""

    def __init__(self, client: Client, opening: Call[Hold]) -> None:
        super().__init__(opening)
        self._client = client

    def __enter__(self) -> Self:
        self._opened(self._client.send(self._opening))
        return self

    def capture(self, usage: Usage | None = None, **fields: Unpack[CaptureFields]) -> Charge:
        """Settle the hold with the real usage, or with `credits`. Raises the errors of `capture_hold`."""
        call = self._capturing(usage, **fields)
        try:
            self.charge = self._client.send(call)
        except ApiError:
            self._to_release = True  # refused: it can be captured again, and is released otherwise
            raise
        return self.charge

    def child(
        self, service: str, maximum: Amount | Mapping[str, Any], **fields: Unpack[ChildFields]
    ) -> HoldContext:
        """A hold that reserves from this one, for a `with` block inside this block. It ends no later."""
        return HoldContext(self._client, self._child(service, maximum, fields))

    def report(self, usage: Usage) -> Hold:
        """Report what has been used so far, in all (see `report_hold_usage`)."""
        reported: Hold = self._client.send(_spending.report_hold_usage(self.id, usage))
        return reported

    def release(self) -> Hold:
        """Drop the hold before the end of the block."""
        released: Hold = self._client.send(_spending.release_hold(self.id))
        self._to_release = False
        return released

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._to_release:
            try:
                self.release()
            except RefillError as failure:
                self._release_failed(failure)


class AsyncHoldContext(_HoldContext):
    """`async with client.hold(service, maximum) as hold: … await hold.capture(usage)`"""

    def __init__(self, client: AsyncClient, opening: Call[Hold]) -> None:
        super().__init__(opening)
        self._client = client

    async def __aenter__(self) -> Self:
        self._opened(await self._client.send(self._opening))
        return self

    async def capture(self, usage: Usage | None = None, **fields: Unpack[CaptureFields]) -> Charge:
        """Settle the hold with the real usage, or with `credits`. Raises the errors of `capture_hold`."""
        call = self._capturing(usage, **fields)
        try:
            self.charge = await self._client.send(call)
        except ApiError:
            self._to_release = True  # refused: it can be captured again, and is released otherwise
            raise
        return self.charge

    def child(
        self, service: str, maximum: Amount | Mapping[str, Any], **fields: Unpack[ChildFields]
    ) -> AsyncHoldContext:
        """A hold that reserves from this one, for an `async with` block inside this block."""
        return AsyncHoldContext(self._client, self._child(service, maximum, fields))

    async def report(self, usage: Usage) -> Hold:
        """Report what has been used so far, in all (see `report_hold_usage`)."""
        reported: Hold = await self._client.send(_spending.report_hold_usage(self.id, usage))
        return reported

    async def release(self) -> Hold:
        """Drop the hold before the end of the block."""
        released: Hold = await self._client.send(_spending.release_hold(self.id))
        self._to_release = False
        return released

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._to_release:
            try:
                await self.release()
            except RefillError as failure:
                self._release_failed(failure)
