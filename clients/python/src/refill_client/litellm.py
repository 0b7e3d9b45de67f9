"""A callback of LiteLLM that holds credits before a call and captures what it used.

    litellm.callbacks = [RefillCallback(client, maximum="5")]
    await litellm.acompletion(model="gpt-5", messages=…, metadata={"refill_account": "alice"})

It uses the hook before the request of asynchronous calls, the only one whose exception stops a call: with too
few credits `acompletion` raises InsufficientCredits and nothing is sent to the provider. It needs litellm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from refill_client._decoding import Amount
from refill_client.client import AsyncClient
from refill_client.errors import HoldClosed

_HOLD = "refill_hold"


class RefillCallback(CustomLogger):
    """`maximum`: credits or usage to hold for each call. `service_of` maps a model to a service."""

    def __init__(
        self,
        client: AsyncClient,
        maximum: Amount | Mapping[str, Any],
        *,
        service_of: Callable[[str], str] = str,
    ) -> None:
        super().__init__()
        self._client = client
        self._maximum = maximum
        self._service_of = service_of

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Hold credits; the error of a refusal stops the call."""
        metadata = dict(kwargs.get("metadata") or {})
        use = {"account": metadata["refill_account"]} if "refill_account" in metadata else {}
        hold = await self._client.open_hold(self._service_of(kwargs["model"]), self._maximum, **use)
        metadata[_HOLD] = hold.id
        return {**kwargs, "metadata": metadata}

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Capture the usage; of a stream, LiteLLM passes the whole response after its last chunk."""
        hold = _hold_of(kwargs)
        if hold is not None:
            await self._client.capture_hold(hold, response_obj, idempotency_key=f"capture-{hold}")

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Release the credits of a call that failed."""
        hold = _hold_of(kwargs)
        if hold is not None:
            try:
                await self._client.release_hold(hold)
            except HoldClosed:
                return


def _hold_of(kwargs: dict[str, Any]) -> str | None:
    metadata = (kwargs.get("litellm_params") or {}).get("metadata") or {}
    hold: str | None = metadata.get(_HOLD)
    return hold
