"""Quotas of a plan, and limits of a project, a member and a key.

An upload counts against the quota of ten files: each of its uses is one. Limits are 100 credits. A quota or
limit is used up by other charges, between a hold and its capture where there is one.
"""

from datetime import UTC, datetime

from tests.moves.usage.world import World


def quota_left(world: World) -> None:
    world.plan("counted")
    world.fields["service"] = "upload"


def _quota_filled(world: World, upto: int) -> None:
    quota_left(world)
    world.give("100", label="spare")
    world.meanwhile = lambda: world.fill("quota", upto)


def quota_used_up(world: World) -> None:
    _quota_filled(world, 10)


def quota_of_one_use_left(world: World) -> None:
    _quota_filled(world, 9)


def quota_of_two_uses_left(world: World) -> None:
    _quota_filled(world, 8)


def quota_and_unlimited(world: World) -> None:
    world.plan("flat-counted")
    world.fields["service"] = "upload"


def quota_used_up_and_unlimited(world: World) -> None:
    quota_and_unlimited(world)
    world.meanwhile = lambda: world.fill("quota", 10)


def quota_of_the_action(world: World) -> None:
    """The quota is the action's, whatever model it is done with."""
    world.plan("counted")
    world.fields |= {"service": "draw", "action": "upload"}


def quota_turned_meanwhile(world: World) -> None:
    world.plan("daily-counted")
    world.fields["service"] = "upload"
    world.give("100", label="spare")
    world.spend(8)
    world.expires_in = 86_400
    world.meanwhile = lambda: _use_of_the_new_window(world)


def quota_removed_meanwhile(world: World) -> None:
    quota_left(world)
    world.meanwhile = lambda: world.plan("basic")


def quota_set_meanwhile(world: World) -> None:
    world.fields["service"] = "upload"
    world.meanwhile = lambda: world.plan("counted")


def _limit_filled(world: World, kind: str, upto: int) -> None:
    world.limit(kind, "100")
    world.give("100", label="spare")
    world.meanwhile = lambda: world.fill(kind, upto)


def project_limit_left(world: World) -> None:
    world.limit("project", "100")


def project_limit_used_up(world: World) -> None:
    _limit_filled(world, "project", 100)


def project_limit_with_ten_left(world: World) -> None:
    _limit_filled(world, "project", 90)


def project_limit_with_twenty_left(world: World) -> None:
    _limit_filled(world, "project", 80)


def project_limit_turned_meanwhile(world: World) -> None:
    _limit_turned(world, "project")


def project_limit_lowered_meanwhile(world: World) -> None:
    world.limit("project", "100")
    world.meanwhile = lambda: world.change_project(daily_limit="10")


def project_limit_set_meanwhile(world: World) -> None:
    world.project()
    world.meanwhile = lambda: world.change_project(daily_limit="100")


def project_limit_used_up_and_unlimited(world: World) -> None:
    world.plan("flat")
    world.limit("project", "100")
    world.spend(10, service="sing")


def project_archived_meanwhile(world: World) -> None:
    world.limit("project", "100")
    world.meanwhile = lambda: world.change_project(archived=True)


def member_limit_left(world: World) -> None:
    world.limit("member", "100")


def member_limit_used_up(world: World) -> None:
    _limit_filled(world, "member", 100)


def member_limit_turned_meanwhile(world: World) -> None:
    world.clock.move_to(datetime(2026, 11, 30, 12, tzinfo=UTC), tick=False)
    _limit_turned(world, "member")


def key_limit_left(world: World) -> None:
    world.limit("key", "100")


def key_limit_used_up(world: World) -> None:
    """Both keys have a limit, and Alice's is used up."""
    _limit_filled(world, "key", 100)


def key_limit_turned_meanwhile(world: World) -> None:
    _limit_turned(world, "key")


def _limit_turned(world: World, kind: str) -> None:
    world.limit(kind, "100")
    world.give("100", label="spare")
    world.spend(8)
    world.expires_in = 86_400
    world.meanwhile = lambda: _use_of_the_new_window(world)


def _use_of_the_new_window(world: World) -> None:
    """One use, paid with daily credits: what the former window counted must not be subtracted from it."""
    world.midnight()
    world.give("10", label="morning", kind="daily")
    world.spend(1)


def every_limit_at_once(world: World) -> None:
    quota_left(world)
    for kind in ("project", "member", "key"):
        world.limit(kind, "100")


ALL = (
    quota_left,
    quota_used_up,
    quota_of_one_use_left,
    quota_of_two_uses_left,
    quota_and_unlimited,
    quota_used_up_and_unlimited,
    quota_of_the_action,
    quota_turned_meanwhile,
    quota_removed_meanwhile,
    quota_set_meanwhile,
    project_limit_left,
    project_limit_used_up,
    project_limit_with_ten_left,
    project_limit_with_twenty_left,
    project_limit_turned_meanwhile,
    project_limit_lowered_meanwhile,
    project_limit_set_meanwhile,
    project_limit_used_up_and_unlimited,
    project_archived_meanwhile,
    member_limit_left,
    member_limit_used_up,
    member_limit_turned_meanwhile,
    key_limit_left,
    key_limit_used_up,
    key_limit_turned_meanwhile,
    every_limit_at_once,
)
