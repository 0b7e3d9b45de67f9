"""How the request is made: again, for nothing, for more; and what has changed since the first step."""

from django.utils import timezone

from accounts import api_keys, authentication
from accounts.models import Account, ApiKey, Membership, User
from tests.api import ALL_SCOPES, Api
from tests.moves.usage.circumstances import counting, wallet
from tests.moves.usage.world import World, issue_key


def replayed(world: World) -> None:
    world.repeats = "same"


def replayed_with_another_body(world: World) -> None:
    world.repeats = "other"


def replayed_with_other_keys(world: World) -> None:
    """The second request comes with another key of the account, or of the platform."""
    world.repeats = "same"

    def use_other_keys() -> None:
        world.api = Api(issue_key(world.account, world.alice))
        other = api_keys.issue(kind="platform", name="b", scopes=ALL_SCOPES, now=timezone.now())
        world.platform = Api(other.secret)

    world.before_repeat = use_other_keys


def replayed_with_nothing_left(world: World) -> None:
    replayed(world)
    world.before_repeat = world.spend_all


def replayed_with_too_many_holds(world: World) -> None:
    replayed(world)
    world.before_repeat = lambda: wallet.run_three_holds(world)


def replayed_without_the_own_key(world: World) -> None:
    replayed(world)
    world.before_repeat = world.provider_key("acme")
    world.fields["own_key"] = True


def replayed_after_the_project_is_archived(world: World) -> None:
    replayed(world)
    world.limit("project", "100")
    world.before_repeat = lambda: world.change_project(archived=True)


def another_body_after_the_project_is_archived(world: World) -> None:
    replayed_after_the_project_is_archived(world)
    world.repeats = "other"


def replayed_with_the_limit_used_up(world: World) -> None:
    replayed(world)
    world.limit("project", "100")
    world.before_repeat = lambda: world.change_project(daily_limit="1")


def replayed_within_every_limit(world: World) -> None:
    """Nothing refuses the second request, and no limit counts it."""
    counting.every_limit_at_once(world)
    replayed(world)


def another_body_within_every_limit(world: World) -> None:
    counting.every_limit_at_once(world)
    world.repeats = "other"


def replayed_after_the_price_has_gone(world: World) -> None:
    replayed(world)
    world.before_repeat = lambda: world.change_price(None)


def replayed_in_another_plan(world: World) -> None:
    replayed(world)
    world.before_repeat = lambda: world.plan("flat")


def nothing_used(world: World) -> None:
    world.plan("counted")
    world.fields["service"] = "upload"
    world.quantity = 0


def nothing_used_of_a_hold(world: World) -> None:
    world.plan("counted")
    world.fields["service"] = "upload"
    world.captured, world.part = 0, "0"


def three_uses(world: World) -> None:
    counting.every_limit_at_once(world)
    world.quantity = 3


def the_other_way(world: World) -> None:
    """What was held by usage is captured by amount, and the other way round."""
    counting.every_limit_at_once(world)
    world.captures_the_other_way = True


def captured_then_reversed(world: World) -> None:
    """The charge that is reversed has captured three uses of a hold of two, in part uncollected."""
    counting.every_limit_at_once(world)
    world.spend(8, service="sing", project=None)
    world.captured = 3


def price_changed_meanwhile(world: World) -> None:
    world.meanwhile = lambda: world.change_price("20")


def price_changed_after_an_estimate(world: World) -> None:
    _estimated(world)
    world.meanwhile = lambda: world.change_price("20")


def estimate_has_expired(world: World) -> None:
    _estimated(world)
    world.meanwhile = lambda: world.wait(minutes=15)


def _estimated(world: World) -> None:
    response = world.api.post("estimates", {"service": "draw", "usage": {"uses": 2}})
    assert response.status_code == 200, response.content
    world.fields["estimate"] = response.json()["id"]


def price_gone_meanwhile(world: World) -> None:
    world.meanwhile = lambda: world.change_price(None)


def maker_deactivated_meanwhile(world: World) -> None:
    def meanwhile() -> None:
        User.objects.filter(pk=world.alice.pk).update(is_active=False)
        api_keys.outlast_leases()

    world.meanwhile = meanwhile


def maker_left_meanwhile(world: World) -> None:
    def meanwhile() -> None:
        Membership.objects.filter(user=world.alice).delete()
        api_keys.outlast_leases()

    world.meanwhile = meanwhile


def key_revoked_meanwhile(world: World) -> None:
    world.meanwhile = lambda: api_keys.revoke_all(ApiKey.objects.filter(kind="account"), world.now)


def account_erased_meanwhile(world: World) -> None:
    def meanwhile() -> None:
        Account.objects.filter(pk=world.account.pk).update(erased_at=world.now)
        api_keys.outlast_leases()
        authentication._account_ids.clear()
        world.account_is_open = False

    world.meanwhile = meanwhile


def by_the_platform(world: World) -> None:
    world.is_platform = True


def begun_by_the_platform(world: World) -> None:
    """The platform's key makes the hold; the account's key makes the move."""
    world.is_platform = True

    def meanwhile() -> None:
        world.is_platform = False

    world.meanwhile = meanwhile


def hold_captured_already(world: World) -> None:
    _hold_closed(world, "capture", {"usage": {"uses": 2}})


def hold_released_already(world: World) -> None:
    _hold_closed(world, "release", {})


def _hold_closed(world: World, how: str, body: object) -> None:
    def meanwhile() -> None:
        hold = world.newest_hold()
        response = world.api.post(f"holds/{hold}/{how}", body, key="earlier")
        assert response.status_code in (200, 201), response.content

    world.meanwhile = meanwhile


def hold_expired_already(world: World) -> None:
    def meanwhile() -> None:
        world.wait(hours=1)
        world.settle()

    world.meanwhile = meanwhile


def reversed_already(world: World) -> None:
    _reversed(world, {})


def reversed_in_part_already(world: World) -> None:
    counting.every_limit_at_once(world)
    _reversed(world, {"credits": "15"})


def reversed_in_part_over_several_grants(world: World) -> None:
    wallet.several_grants(world)
    world.part = "12"
    _reversed(world, {"credits": "5"})


def reversed_already_and_unlimited(world: World) -> None:
    """A covered charge has only its count of the quota to return, once."""
    counting.quota_and_unlimited(world)
    _reversed(world, {})


def _reversed(world: World, body: object) -> None:
    def meanwhile() -> None:
        path = f"charges/{world.newest_charge()}/reversals"
        response = world.platform.post(path, body, key="earlier")
        assert response.status_code == 201, response.content

    world.meanwhile = meanwhile


ALL = (
    replayed,
    replayed_with_another_body,
    replayed_with_other_keys,
    replayed_with_nothing_left,
    replayed_with_too_many_holds,
    replayed_without_the_own_key,
    replayed_after_the_project_is_archived,
    another_body_after_the_project_is_archived,
    replayed_with_the_limit_used_up,
    replayed_within_every_limit,
    another_body_within_every_limit,
    replayed_after_the_price_has_gone,
    replayed_in_another_plan,
    nothing_used,
    nothing_used_of_a_hold,
    three_uses,
    the_other_way,
    captured_then_reversed,
    price_changed_meanwhile,
    price_changed_after_an_estimate,
    estimate_has_expired,
    price_gone_meanwhile,
    maker_deactivated_meanwhile,
    maker_left_meanwhile,
    key_revoked_meanwhile,
    account_erased_meanwhile,
    by_the_platform,
    begun_by_the_platform,
    hold_captured_already,
    hold_released_already,
    hold_expired_already,
    reversed_already,
    reversed_in_part_already,
    reversed_in_part_over_several_grants,
    reversed_already_and_unlimited,
)
