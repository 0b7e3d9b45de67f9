"""The moves of usage, each made by one request to the REST API (or by the passing of time)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.moves.usage.world import FILLER, World

FILLERS = 47  # from 48 uses on, a batch charges plain wallets together
Act = Callable[..., Any]
OTHER = {"metadata": {"other": True}}


@dataclass(frozen=True)
class Move:
    """`act(world, made, other)` sends the request; `other`: with another body and the same key.

    `first` makes what the move is about (`made`), the answer of a hold or of a charge.
    """

    act: Act
    first: Callable[[World], Any] = lambda world: None


def _use(world: World, other: bool = False) -> dict[str, Any]:
    body = world.fields | {"usage": {"uses": world.quantity}}
    if world.is_platform:
        body |= {"account": world.account.public_id, "member": world.alice.public_id}
    return body | (OTHER if other else {})


def charge(world: World, made: Any, other: bool = False) -> Any:
    return world.caller().post("charges", _use(world, other), key="move")


def batch(world: World, made: Any, other: bool = False) -> Any:
    return world.caller().post("charges/batch", {"data": [_use(world, other) | {"idempotency_key": "move"}]})


def large_batch(world: World, made: Any, other: bool = False) -> Any:
    """The item among free uses of another account, so that the batch is charged together."""
    filler = {"account": FILLER, "service": "gift", "usage": {"uses": 1}, "conversation": "filler"}
    items = [filler | {"idempotency_key": f"filler-{n}"} for n in range(FILLERS)]
    world.is_platform = True
    items.insert(FILLERS // 2, _use(world, other) | {"idempotency_key": "move"})
    response = world.platform.post("charges/batch", {"data": items})
    assert response.status_code == 200, response.content
    return response


def _use_to_hold(world: World, other: bool) -> dict[str, Any]:
    body = _use(world, other) | {"expires_in": world.expires_in}
    return body | ({"parent": world.parent} if world.parent else {})


def hold(world: World, made: Any, other: bool = False) -> Any:
    return world.caller().post("holds", _use_to_hold(world, other), key="move")


def hold_amount(world: World, made: Any, other: bool = False) -> Any:
    body = _use_to_hold(world, other) | {"credits": str(10 * world.quantity)}
    del body["usage"]
    return world.caller().post("holds", body, key="move")


def _held(*, by_amount: bool) -> Callable[[World], Any]:
    def first(world: World) -> Any:
        is_by_amount = by_amount != world.captures_the_other_way
        response = (hold_amount if is_by_amount else hold)(world, None)
        assert response.status_code == 201, response.content
        return response.json()

    return first


_held_by_usage, _held_by_amount = _held(by_amount=False), _held(by_amount=True)


def _capture(*, more: int, by_amount: bool = False) -> Move:
    """Capture so many uses more than were held; by amount, the hold and the capture name credits."""

    def act(world: World, made: Any, other: bool = False) -> Any:
        uses = world.quantity + more if world.captured is None else world.captured
        body = {"credits": str(10 * uses)} if by_amount else {"usage": {"uses": uses}}
        path = f"holds/{made['id']}/capture"
        return world.caller().post(path, body | (OTHER if other else {}), key="capture")

    return Move(act, _held_by_amount if by_amount else _held_by_usage)


def release(world: World, made: Any, other: bool = False) -> Any:
    body = {"account": world.account.public_id} if other else {}
    return world.caller().post(f"holds/{made['id']}/release", body, key="release")


def expiry(world: World, made: Any, other: bool = False) -> Any:
    world.clock.move_to(datetime.fromisoformat(made["expires_at"]), tick=False)
    return world.platform.get(f"holds/{made['id']}")


def _charged(world: World) -> Any:
    if world.captured is None and not world.captures_the_other_way:
        response = charge(world, None)
    else:
        response = _capture(more=0, by_amount=world.captures_the_other_way).act(
            world, hold(world, None).json()
        )
    assert response.status_code == 201, response.content
    return response.json()


def reverse(world: World, made: Any, other: bool = False, **body: str) -> Any:
    path = f"charges/{made['id']}/reversals"
    return world.platform.post(path, body | ({"reason": "other"} if other else {}), key="reverse")


def reverse_part(world: World, made: Any, other: bool = False) -> Any:
    """Three quarters of two uses: 15 of 20 credits."""
    return reverse(world, made, other, credits=world.part)


MOVES = {
    "charge": Move(charge),
    "batch": Move(batch),
    "large_batch": Move(large_batch),
    "hold": Move(hold),
    "hold_amount": Move(hold_amount),
    "capture_less": _capture(more=-1),
    "capture_exact": _capture(more=0),
    "capture_more": _capture(more=1),
    "capture_less_amount": _capture(more=-1, by_amount=True),
    "capture_exact_amount": _capture(more=0, by_amount=True),
    "capture_more_amount": _capture(more=1, by_amount=True),
    "release": Move(release, _held_by_usage),
    "expiry": Move(expiry, _held_by_usage),
    "reverse": Move(reverse, _charged),
    "reverse_part": Move(reverse_part, _charged),
}
