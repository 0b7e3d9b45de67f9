"""The sample middlewares hold before the application and answer 402, and so does the callback of LiteLLM."""

import importlib
import json
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from refill_client import InsufficientCredits
from refill_client.testing import FakePortal

from tests import event_loop

EXAMPLES = Path(__file__).resolve().parents[3] / "clients/python/examples"
RESPONSE = SimpleNamespace(usage=SimpleNamespace(prompt_tokens=100, completion_tokens=50))


@pytest.fixture
def portal() -> FakePortal:
    portal = FakePortal({"claude-sonnet-4": {"input_tokens": "0.01", "output_tokens": "0.02"}})
    portal.give("alice", "10")
    portal.give("bob", "1")
    return portal


def test_the_wsgi_middleware(portal: FakePortal) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if "refill.hold" in environ:
            environ["refill.hold"].capture(RESPONSE)
        start_response("200 OK", [])
        return [b"answer"]

    middleware = runpy.run_path(str(EXAMPLES / "wsgi_middleware.py"))["CreditsMiddleware"]
    wrapped = middleware(app, portal.client(), lambda environ: environ["USER"])
    started: list[str] = []

    def get(path: str, user: str) -> bytes:
        environ = {"PATH_INFO": path, "USER": user}
        return b"".join(wrapped(environ, lambda status, headers: started.append(status)))

    assert get("/ask", "alice") == get("/free", "bob") == b"answer"
    assert json.loads(get("/ask", "bob"))["ways_on"][0]["kind"] == "buy"
    assert started == ["200 OK", "200 OK", "402 Payment Required"]
    assert (portal.available("alice"), portal.available("bob")) == (8, 1)


def test_the_asgi_middleware(portal: FakePortal) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await scope["refill.hold"].capture(RESPONSE)
        await send({"type": "http.response.start", "status": 200})

    middleware = runpy.run_path(str(EXAMPLES / "asgi_middleware.py"))["CreditsMiddleware"]
    wrapped = middleware(app, portal.async_client(), lambda scope: scope["user"])

    async def get(user: str) -> None:
        await wrapped({"type": "http", "path": "/ask", "user": user}, None, send)

    event_loop.run(get("alice"))
    event_loop.run(get("bob"))
    assert [one["status"] for one in sent if "status" in one] == [200, 402]
    assert (portal.available("alice"), portal.available("bob")) == (8, 1)


def test_the_callback_of_litellm(portal: FakePortal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called as LiteLLM 1.109 calls it: the hook of the deployment, then one of the events."""
    stub = ModuleType("litellm.integrations.custom_logger")
    stub.CustomLogger = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "litellm", ModuleType("litellm"))
    monkeypatch.setitem(sys.modules, "litellm.integrations", ModuleType("litellm.integrations"))
    monkeypatch.setitem(sys.modules, "litellm.integrations.custom_logger", stub)
    callbacks = importlib.import_module("refill_client.litellm")
    monkeypatch.delitem(sys.modules, "refill_client.litellm")

    async def call(account: str, *, succeeds: bool = True) -> None:
        callback = callbacks.RefillCallback(portal.async_client(), "5", service_of=lambda model: model[3:])
        kwargs = {"model": "ai/claude-sonnet-4", "metadata": {"refill_account": account}}
        held = await callback.async_pre_call_deployment_hook(kwargs, None)
        logged = {"litellm_params": {"metadata": held["metadata"]}}
        if succeeds:
            await callback.async_log_success_event(logged, RESPONSE, None, None)
            await callback.async_log_success_event(logged, RESPONSE, None, None)  # charges once
        else:
            await callback.async_log_failure_event(logged, None, None, None)
            await callback.async_log_failure_event(logged, None, None, None)

    event_loop.run(call("alice"))
    assert portal.available("alice") == 8
    event_loop.run(call("alice", succeeds=False))
    assert portal.available("alice") == 8
    with pytest.raises(InsufficientCredits):
        event_loop.run(call("bob"))
