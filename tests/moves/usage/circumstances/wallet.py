"""What the wallet has: alerts, debt, and the grants that pay."""

from datetime import timedelta

from billing.models import Hold
from tests.moves.usage.world import World


def alert_armed(world: World) -> None:
    world.alert("10")


def alert_at_the_threshold(world: World) -> None:
    """80 credits are left after a use of 20; the alert comes below 80."""
    world.alert("80")


def alert_crossed(world: World) -> None:
    world.alert("90")


def alert_crossed_to_zero(world: World) -> None:
    world.alert("15")
    world.spend(8)


def alert_fired(world: World) -> None:
    world.alert("90")
    world.spend(2)


def alert_armed_again(world: World) -> None:
    alert_fired(world)
    world.give("20", label="spare")


def in_debt(world: World) -> None:
    refund = world.sell("30", label="sold")
    world.spend(3)
    world.meanwhile = refund


def in_debt_and_unlimited(world: World) -> None:
    world.plan("flat")
    refund = world.sell("30", label="sold")
    world.spend(3, service="sing")
    world.meanwhile = refund


def in_debt_and_free_of_charge(world: World) -> None:
    in_debt(world)
    world.fields["service"] = "gift"
    world.meanwhile()
    world.meanwhile = lambda: None


def in_debt_of_less_than_returns(world: World) -> None:
    refund = world.sell("5", label="sold")
    world.spend(1)
    world.meanwhile = refund


def in_debt_over_several_grants(world: World) -> None:
    """What returns goes to several grants, and repays the debt of 10 once."""
    refund = world.sell("10", label="sold")
    world.spend(1)
    several_grants(world)
    world.meanwhile = refund


def in_debt_with_a_limit_and_a_quota(world: World) -> None:
    world.plan("counted")
    world.fields["service"] = "upload"
    world.limit("project", "100")
    refund = world.sell("30", label="sold")
    world.spend(3, service="sing", project=None)
    world.meanwhile = refund


def refunded_meanwhile(world: World) -> None:
    """What is held or charged is of a purchase that is refunded then."""
    world.meanwhile = world.sell("30", label="sold")


def refunded_and_ended_meanwhile(world: World) -> None:
    refund = world.sell("30", label="sold", expires_at=world.now + timedelta(minutes=30))

    def meanwhile() -> None:
        refund()
        world.wait(minutes=30)
        world.settle()

    world.meanwhile = meanwhile


def nothing_left(world: World) -> None:
    world.project("1000")
    world.meanwhile = world.spend_all


def five_credits_left(world: World) -> None:
    def meanwhile() -> None:
        world.spend_all()
        world.give("5", label="spare")

    world.meanwhile = meanwhile


def twenty_credits_left(world: World) -> None:
    world.spend(8)


def scoped_to_the_service(world: World) -> None:
    world.give("100", label="scoped", kind="promotion", services=["draw"])


def scoped_to_a_tag(world: World) -> None:
    world.give("100", label="scoped", kind="promotion", services=["tag:art"])


def scoped_to_the_action(world: World) -> None:
    world.fields |= {"service": "sing", "action": "print"}
    world.give("100", label="scoped", kind="promotion", services=["draw", "tag:platform"])


def scoped_to_another_service(world: World) -> None:
    world.give("100", label="scoped", kind="promotion", services=["sing", "tag:sound"])
    world.meanwhile = world.spend_all


def several_grants(world: World) -> None:
    """Given in the opposite order of spending: by kind."""
    world.give("4", label="event", kind="promotion")
    world.give("10", label="month", kind="plan")
    world.give("5", label="day", kind="daily")


def grants_of_a_kind(world: World) -> None:
    """The one that ends sooner pays first, then the one that ends later; the pack never ends."""
    for credits, label, days in (("10", "later", 20), ("15", "sooner", 10)):
        expires_at = (world.now + timedelta(days=days)).isoformat()
        world.give(credits, label=label, expires_at=expires_at)


def grants_of_an_age(world: World) -> None:
    """Neither ends, and the pack, which is older, pays first."""
    world.spend(9)
    world.give("100", label="younger")


def grant_ended_meanwhile(world: World) -> None:
    expires_at = world.now + timedelta(minutes=30)
    world.give("20", label="short", kind="promotion", expires_at=expires_at.isoformat())

    def meanwhile() -> None:
        world.clock.move_to(expires_at, tick=False)
        world.settle()

    world.meanwhile = meanwhile


def grant_empty_at_a_settling(world: World) -> None:
    """The wallet was settled when the grant was empty; it is due at the grant's end where credits return."""
    for credits, label, minutes in (("5", "shorter", 10), ("20", "short", 120)):
        expires_at = world.now + timedelta(minutes=minutes)
        services = ["sing"] if label == "shorter" else None
        until = expires_at.isoformat()
        world.give(credits, label=label, kind="promotion", services=services, expires_at=until)
    world.expires_in = 86_400

    def meanwhile() -> None:
        world.wait(minutes=10)
        world.settle()

    world.meanwhile = meanwhile


def too_many_holds(world: World) -> None:
    world.meanwhile = lambda: run_three_holds(world)


def run_three_holds(world: World) -> None:
    """As many as may run at once."""
    for _ in range(3 - Hold.objects.filter(account=world.account, status="held").count()):
        body = {"service": "gift", "usage": {"uses": 1}, "expires_in": 86_400}
        response = world.api.post("holds", body, key=world.unique("hold"))
        assert response.status_code == 201, response.content


ALL = (
    alert_armed,
    alert_at_the_threshold,
    alert_crossed,
    alert_crossed_to_zero,
    alert_fired,
    alert_armed_again,
    in_debt,
    in_debt_and_unlimited,
    in_debt_and_free_of_charge,
    in_debt_of_less_than_returns,
    in_debt_over_several_grants,
    in_debt_with_a_limit_and_a_quota,
    refunded_meanwhile,
    refunded_and_ended_meanwhile,
    nothing_left,
    five_credits_left,
    twenty_credits_left,
    scoped_to_the_service,
    scoped_to_a_tag,
    scoped_to_the_action,
    scoped_to_another_service,
    several_grants,
    grants_of_a_kind,
    grants_of_an_age,
    grant_ended_meanwhile,
    grant_empty_at_a_settling,
    too_many_holds,
)
