"""Trees of holds: the hold of the move is a child of a root of 60 credits, or it has a child itself."""

from typing import Any

from billing.models import Hold
from tests.moves.usage.circumstances.wallet import in_debt
from tests.moves.usage.world import World


def _made(world: World, credits: str, **fields: Any) -> str:
    """Hold credits with the fields of the move's use; returns the hold's id."""
    body = world.fields | {"credits": credits, "expires_in": 86_400} | fields
    response = world.api.post("holds", body, key=world.unique("tree"))
    assert response.status_code == 201, response.content
    return str(response.json()["id"])


def _below(world: World, **fields: Any) -> None:
    world.parent = _made(world, "60", **fields)


def child(world: World) -> None:
    _below(world)


def child_that_outlives_its_parent(world: World) -> None:
    _below(world, expires_in=600)


def child_with_a_limit_of_its_project(world: World) -> None:
    _below(world)
    world.project("40")


def child_with_two_limits(world: World) -> None:
    """Its member's limit counts it with its root; the limit of its project, not the root's, is used up."""
    world.limit("member", "100")
    _below(world)
    world.project("40")
    world.meanwhile = lambda: world.fill("project", 40)


def child_within_every_limit(world: World) -> None:
    world.plan("counted")
    world.fields["service"] = "upload"
    for kind in ("project", "member", "key"):
        world.limit(kind, "100")
    _below(world)


def child_replayed(world: World) -> None:
    _below(world)
    world.repeats = "same"


def child_of_another_project(world: World) -> None:
    """The project of the root has the limit."""
    world.project("100")
    _below(world)
    del world.fields["project"]
    response = world.api.post("projects", {"name": "another"})
    world.fields["project"] = response.json()["id"]


def child_in_debt(world: World) -> None:
    _below(world)
    in_debt(world)


def child_beside_one_that_has_the_rest(world: World) -> None:
    def meanwhile() -> None:
        rest = world.api.get(f"holds/{world.parent}").json()["remaining"]
        _made(world, rest, parent=world.parent)

    _below(world)
    world.meanwhile = meanwhile


def child_beside_one_that_has_spent(world: World) -> None:
    def meanwhile() -> None:
        sibling = _made(world, "35", parent=world.parent)
        response = world.api.post(f"holds/{sibling}/capture", {"credits": "35"}, key="sibling")
        assert response.status_code == 201, response.content

    _below(world)
    world.meanwhile = meanwhile


def parent_of_an_open_child(world: World) -> None:
    world.meanwhile = lambda: _child_of_five(world)


def parent_of_a_child_that_has_spent(world: World) -> None:
    def meanwhile() -> None:
        if made := _child_of_five(world):
            response = world.api.post(f"holds/{made}/capture", {"credits": "5"}, key="child")
            assert response.status_code == 201, response.content

    world.meanwhile = meanwhile


def _child_of_five(world: World) -> str:
    """The child of the move's hold; "" where the move has none."""
    if not Hold.objects.filter(account=world.account, status="held").exists():
        return ""
    return _made(world, "5", parent=world.newest_hold())


ALL = (
    child,
    child_that_outlives_its_parent,
    child_with_a_limit_of_its_project,
    child_with_two_limits,
    child_within_every_limit,
    child_replayed,
    child_of_another_project,
    child_in_debt,
    child_beside_one_that_has_the_rest,
    child_beside_one_that_has_spent,
    parent_of_an_open_child,
    parent_of_a_child_that_has_spent,
)
