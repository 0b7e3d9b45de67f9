"""Uses that the plan or a provider key covers, and uses that they do not."""

from tests.moves.usage.world import World


def plain(world: World) -> None:
    """100 credits and nothing in the way."""


def unlimited(world: World) -> None:
    world.plan("flat")


def unlimited_action(world: World) -> None:
    world.plan("flat")
    world.fields |= {"service": "sing", "action": "frame"}


def unlimited_model_of_an_action_at_its_price(world: World) -> None:
    world.plan("flat")
    world.fields |= {"service": "draw", "action": "retouch"}


def unlimited_model_of_an_action_with_a_price(world: World) -> None:
    world.plan("flat")
    world.fields |= {"service": "draw", "action": "print"}


def limited_model_of_an_action_at_its_price(world: World) -> None:
    world.plan("flat")
    world.fields |= {"service": "sing", "action": "retouch"}


def limited_service_of_a_plan_with_unlimited_ones(world: World) -> None:
    world.plan("flat")
    world.fields["service"] = "sing"


def unlimited_with_nothing_left(world: World) -> None:
    world.plan("flat")
    world.spend(10, service="sing")


def own_key(world: World) -> None:
    world.provider_key("acme")
    world.fields["own_key"] = True


def own_key_although_unlimited(world: World) -> None:
    world.plan("flat")
    own_key(world)


def own_key_not_named(world: World) -> None:
    world.provider_key("acme")


def own_key_deleted_meanwhile(world: World) -> None:
    world.meanwhile = world.provider_key("acme")
    world.fields["own_key"] = True


def own_key_of_another_provider(world: World) -> None:
    """Another account has a key at the service's provider."""
    world.provider_key("other")
    world.fields["own_key"] = True
    assert world.platform.post("accounts", {"external_id": "neighbour"}).status_code == 201
    body = {"account": "neighbour", "provider": "acme", "key": "secret-of-the-neighbour"}
    assert world.platform.post("provider-keys", body).status_code == 201


def free_of_charge(world: World) -> None:
    world.fields["service"] = "gift"


def past_due(world: World) -> None:
    world.plan("flat")
    world.past_due()


def past_due_meanwhile(world: World) -> None:
    world.plan("flat")
    world.meanwhile = world.past_due


def plan_with_the_service_left_meanwhile(world: World) -> None:
    world.plan("flat")
    world.meanwhile = lambda: world.plan("basic")


def plan_with_the_service_begun_meanwhile(world: World) -> None:
    world.meanwhile = lambda: world.plan("flat")


def plan_with_credits_left_meanwhile(world: World) -> None:
    world.plan("granting")
    world.meanwhile = lambda: world.plan("basic")


ALL = (
    plain,
    unlimited,
    unlimited_action,
    unlimited_model_of_an_action_at_its_price,
    unlimited_model_of_an_action_with_a_price,
    limited_model_of_an_action_at_its_price,
    limited_service_of_a_plan_with_unlimited_ones,
    unlimited_with_nothing_left,
    own_key,
    own_key_although_unlimited,
    own_key_not_named,
    own_key_deleted_meanwhile,
    own_key_of_another_provider,
    free_of_charge,
    past_due,
    past_due_meanwhile,
    plan_with_the_service_left_meanwhile,
    plan_with_the_service_begun_meanwhile,
    plan_with_credits_left_meanwhile,
)
