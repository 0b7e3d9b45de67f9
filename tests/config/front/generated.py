"""Generated requests to the hot endpoints: plain ones, and ones with something unusual or wrong.

The same chance and number give the same request for another twin.
"""

import json
import random
from dataclasses import dataclass
from typing import Any

from tests.config.front.twins import Twin

API = "/api/v1"
_USE = {"service": "claude-sonnet-4", "usage": {"tokens": 5000}}
_WRONG_CONTENT = (b"{", b"", b'{"service":"a","service":"b"}', b"\xff", b"[" * 99, b"[]", b"null", b'"text"')
_WRONG_HEADERS = (
    {"Idempotency-Key": ""},
    {"Idempotency-Key": "a b"},
    {"Idempotency-Key": "ü"},
    {"Idempotency-Key": "x" * 256},
    {"Idempotency-Key": None},
    {"Authorization": None},
    {"Authorization": "Basic YTpi"},
    {"Authorization": "Bearer rk_account_invented"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/json; charset=utf-8"},
    {"X-Request-Id": "mine-1"},
    {"X-Request-Id": "not valid"},
    {"Host": "evil.example"},
    {"Accept-Language": "de"},
    {"Accept-Encoding": "gzip"},
)
_WRONG_FIELDS: tuple[tuple[str, Any], ...] = (
    ("unknown", 1),
    ("service", "no-such-service"),
    ("service", 5),
    ("usage", {"pages": 1}),
    ("usage", {"tokens": -1}),
    ("usage", {"tokens": "5"}),
    ("usage", {"tokens": 10**9}),
    ("usage", None),
    ("credits", "0"),
    ("credits", "1.5"),
    ("expires_in", 5),
    ("action", "no-such-action"),
    ("conversation", "c-1"),
    ("conversation", "\u0000"),
    ("options", {"size": "large"}),
    ("options", {}),
    ("metadata", {"run": 7, "rate": 0.5}),
    ("metadata", "text"),
    ("project", "proj_unknown"),
    ("member", None),
    ("own_key", True),
    ("estimate", "est_unknown"),
    ("account", "nobody"),
    ("text", "How many tokens is this?"),
    ("parent", "hold_unknown"),
)


@dataclass
class Sent:
    method: str
    path: str
    headers: dict[str, str]
    content: bytes = b""


def request(endpoint: str, chance: random.Random, number: int, twin: Twin) -> Sent:
    """A request. Of four, two are plain, one has a wrong field, one wrong headers or content."""
    key = chance.randrange(30)
    body = _body(endpoint, chance, key)
    kind = number % 4
    caller = (
        "account"
        if kind == 2
        else chance.choice(["account", "account", "account", "platform", "platform", "reader"])
    )
    if endpoint == "holds" and key % 2 and chance.random() < 0.6:
        caller = "account"  # mostly the same for holds that are to be children and parents
    headers: dict[str, str | None] = {
        "Authorization": f"Bearer {twin.secrets[caller]}",
        "Idempotency-Key": f"{endpoint}-{key}",
        "Content-Type": "application/json",
    }
    if caller == "platform" and chance.random() < 0.9 and isinstance(body, dict):
        body["account"] = twin.name
    turn = number // 4
    if endpoint == "holds" and key % 2 and twin.holds:  # a child: of little, or of what its parent may lack
        body = body if key % 4 == 3 else {"service": body["service"], "credits": "0.000001"}
        body["parent"] = twin.holds[-1 - min(key % 5, len(twin.holds) - 1)]
    if kind == 2 and isinstance(body, dict):
        name, value = _WRONG_FIELDS[turn % len(_WRONG_FIELDS)]
        (body["data"][0] if "data" in body else body)[name] = value
    content = b"" if body is None else json.dumps(body).encode()
    if kind == 3 and turn % 2:
        headers |= _WRONG_HEADERS[turn // 2 % len(_WRONG_HEADERS)]
    elif kind == 3:
        content = _WRONG_CONTENT[turn // 2 % len(_WRONG_CONTENT)]
    method, path = _target(endpoint, chance, twin, caller)
    if method == "GET":
        content = b""
    present = {name: value for name, value in headers.items() if value is not None}
    return Sent(method, path, present, content)


def _target(endpoint: str, chance: random.Random, twin: Twin, caller: str) -> tuple[str, str]:
    if endpoint == "balance":
        named = f"account={twin.name}" if caller == "platform" else ""
        query = chance.choice(
            [named] * 6 + ["account=nobody", "account=", "unknown=1", "account=a&account=b"]
        )
        return "GET", f"{API}/balance?{query}".rstrip("?")
    if endpoint in {"capture", "release"}:
        place = chance.choice([0, 0, 0, 1, 1, 2, 5, 10**6])
        held = twin.holds[-1 - place] if place < len(twin.holds) else "hold_unknown"
        if twin.parents and chance.random() < 0.3:
            held = twin.parents[-1]
        return "POST", f"{API}/holds/{held}/{endpoint}"
    return "POST", f"{API}/{'charges/batch' if endpoint == 'batch' else endpoint}"


def _body(endpoint: str, chance: random.Random, key: int) -> Any:
    """A plain body; mostly the same for a key, so that its request is repeated."""
    sizes = [1, 4999, 5000, 123_456]
    use = {**_USE, "usage": {"tokens": chance.choice(sizes) if chance.random() < 0.1 else sizes[key % 4]}}
    if endpoint == "capture":
        return [{"usage": use["usage"]}, {"usage": {"tokens": 0}}, {"credits": "2.5"}][key % 3]
    if endpoint == "release":
        return chance.choice([None, {}])
    if endpoint == "holds":
        return [use, {"service": use["service"], "credits": "3"}, {**use, "expires_in": 3600}][key % 3]
    if endpoint == "batch":
        keys = [f"item-{chance.randrange(80)}" for _item in range(chance.randrange(1, 5))]
        return {"data": [{**use, "idempotency_key": key} for key in keys]}
    return use
