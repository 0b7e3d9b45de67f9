"""What staff do in the admin without a form: the permission that each action needs, and what it changes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, User, WebhookEndpoint
from accounts.webhook_endpoints import endpoints
from billing.models import Promotion, Reconciliation, StripeEvent
from core.models import StaffAct
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import drafts, rate_cards
from pricing.models import Pack, Plan, Rate, RateCard, Sale
from pricing.staff.offer_forms import OfferForm, PackForm, PlanForm
from pricing.staff.rate_forms import PricesForm
from tests.billing.conftest import stripe_api as stripe_api
from tests.conftest import person
from tests.forms import world as worlds
from tests.forms.staff_accounts import the_user
from tests.forms.staff_rates import draft, rate_of_draft, the_draft
from tests.forms.test_pages import undone
from tests.forms.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(stripe_api: Any, team: Account, alice: User, charlie: User) -> World:
    return worlds.create(team, alice)


def _sign_ins(world: World) -> Any:
    epochs = dict(User.objects.values_list("email", "sign_in_epoch"))
    factors = sorted(Authenticator.objects.values_list("user__email", flat=True))
    return {email: epoch for email, epoch in epochs.items() if epoch}, factors


def factors(world: World) -> None:
    for user in (world.user, the_user(world)):
        Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})


def key(world: World) -> None:
    api_keys.issue(
        kind="account",
        name="k",
        scopes=["read"],
        account=world.account,
        created_by=world.user,
        now=timezone.now(),
    )


def endpoint(world: World) -> None:
    endpoints.create(
        account=None,
        url="https://hooks.example.com/",
        events=["purchase.paid"],
        description="",
        now=timezone.now(),
    )


def sale(world: World) -> None:
    now, pack = timezone.now(), Pack.objects.get(key="small")
    for name, start, end in (("past", -9, -8), ("now", -1, 1), ("coming", 1, 2)):
        Sale.objects.create(
            key=name,
            pack=pack,
            label=name,
            prices={"usd": 400},
            starts_at=now + timedelta(days=start),
            ends_at=now + timedelta(days=end),
        )


def ignored_event(world: World) -> None:
    StripeEvent.objects.create(
        stripe_id="evt_1",
        type="product.created",
        payload={"id": "evt_1", "type": "product.created", "data": {"object": {"id": "prod_1"}}},
        state=StripeEvent.State.FAILED,
        happened_at=timezone.now(),
        received_at=timezone.now(),
    )


def published(world: World) -> None:
    draft(world)
    rows = rate_cards.rows_of(the_draft(world).pk)
    rate_cards.publish(the_draft(world).pk, seen=rate_cards.fingerprint(rows), by="staff", now=timezone.now())


def _rates_of_draft(world: World) -> int:
    return Rate.objects.filter(card=the_draft(world), service__key="claude-sonnet-4").count()


def _prices(world: World) -> dict[str, str]:
    """The table's fields of the service as a browser sends them."""
    facts = catalogue_cache.current().services["claude-sonnet-4"]
    form = PricesForm(None, services=[facts], rows=drafts.rows(the_draft(world)))
    return {name: str(form[name].value() or "") for name in form.fields if not name.endswith("remove")}


def _pack() -> Pack:
    return Pack.objects.get(key="small")


def _sent(form: type[OfferForm], row: Pack | Plan) -> dict[str, str]:
    """The form's fields as a browser sends them."""
    empty = form(None, row=row)
    values = {name: empty[name].value() for name in empty.fields}
    sent = {name: "on" if value is True else value for name, value in values.items() if value is not False}
    return {name: "" if value is None else str(value) for name, value in sent.items()}


def _coming(world: World) -> RateCard:
    return RateCard.objects.order_by("-effective_at")[0]


@dataclass(frozen=True)
class Action:
    needs: str
    path: Callable[[World], str]
    data: Callable[[World], dict[str, Any]]
    state: Callable[[World], Any]
    after: Any
    """The state after the action."""
    act: str
    """How the audit log names it."""
    before: Callable[[World], None] = lambda world: None
    also: tuple[str, ...] = ()
    """Further permissions that everybody who is tried has."""


def selected(name: str, of: Callable[[World], Any]) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"action": name, "_selected_action": [str(row.pk) for row in of(world)]}


USERS = "/admin/accounts/user/"
ACTIONS = {
    "end the sessions of a user": Action(
        "accounts.change_user",
        lambda world: USERS,
        selected("end_sessions", lambda world: [the_user(world)]),
        _sign_ins,
        ({"charlie@example.org": 1}, ["alice@example.org", "charlie@example.org"]),
        "user.end_sessions",
        factors,
    ),
    "turn off the second factor of a user": Action(
        "accounts.change_user",
        lambda world: USERS,
        selected("remove_second_factor", lambda world: [the_user(world)]),
        _sign_ins,
        ({"charlie@example.org": 1}, ["alice@example.org"]),
        "user.remove_second_factor",
        factors,
    ),
    "remove a member": Action(
        "accounts.change_membership",
        lambda world: "/admin/accounts/membership/",
        selected("remove", lambda world: Membership.objects.filter(account=world.account, role="member")),
        lambda world: list(world.account.memberships.values_list("user__email", flat=True)),
        ["alice@example.org"],
        "membership.remove",
    ),
    "revoke a key": Action(
        "accounts.change_apikey",
        lambda world: "/admin/accounts/apikey/",
        selected("revoke", lambda world: ApiKey.objects.all()),
        lambda world: ApiKey.objects.filter(revoked_at=None).count(),
        0,
        "apikey.revoke",
        key,
    ),
    "disable an endpoint": Action(
        "accounts.change_webhookendpoint",
        lambda world: "/admin/accounts/webhookendpoint/",
        selected("disable", lambda world: WebhookEndpoint.objects.all()),
        lambda world: WebhookEndpoint.objects.filter(disabled_at=None).count(),
        0,
        "webhookendpoint.disable",
        endpoint,
    ),
    "end a sale": Action(
        "pricing.change_sale",
        lambda world: "/admin/pricing/sale/",
        selected("end_now", lambda world: Sale.objects.all()),
        lambda world: {row.key: (row.ends_at - row.starts_at).days for row in Sale.objects.all()},
        {"past": 1, "now": 1, "coming": 1},
        "sale.end_now",
        sale,
    ),
    "change a pack": Action(
        "pricing.change_pack",
        lambda world: f"/admin/pricing/pack/{_pack().pk}/change/",
        lambda world: _sent(PackForm, _pack()) | {"name": "Tiny"},
        lambda world: _pack().name,
        "Tiny",
        "pack.change",
    ),
    "add a pack": Action(
        "pricing.add_pack",
        lambda world: "/admin/pricing/pack/add/",
        lambda world: _sent(PackForm, _pack()) | {"seen": "", "key": "tiny"},
        lambda world: Pack.objects.filter(key="tiny").count(),
        1,
        "pack.add",
    ),
    "change a plan": Action(
        "pricing.change_plan",
        lambda world: f"/admin/pricing/plan/{Plan.objects.get(free=True).pk}/change/",
        lambda world: _sent(PlanForm, Plan.objects.get(free=True)) | {"name": "Basic"},
        lambda world: Plan.objects.get(free=True).name,
        "Basic",
        "plan.change",
    ),
    "add a plan": Action(
        "pricing.add_plan",
        lambda world: "/admin/pricing/plan/add/",
        lambda world: {"key": "big", "name": "Big", "rank": "99"},
        lambda world: Plan.objects.filter(key="big").count(),
        1,
        "plan.add",
    ),
    "add a sale": Action(
        "pricing.add_sale",
        lambda world: "/admin/pricing/sale/add/",
        lambda world: {
            **{"key": "fall", "label": "Fall", "pack": "small"},
            **{f"price-{currency}": "0.99" for currency in _pack().prices},
            **{"starts_at": "2026-01-01T00:00", "ends_at": "2099-01-01T00:00"},
        },
        lambda world: Sale.objects.filter(key="fall").count(),
        1,
        "sale.add",
    ),
    "withdraw a rate card": Action(
        "pricing.change_ratecard",
        lambda world: "/admin/pricing/ratecard/",
        selected("withdraw", lambda world: [_coming(world)]),
        lambda world: _coming(world).state,
        "withdrawn",
        "ratecard.withdraw",
        published,
    ),
    "publish a rate card": Action(
        "pricing.change_ratecard",
        lambda world: f"/admin/pricing/ratecard/{the_draft(world).pk}/publish/",
        lambda world: {
            "seen": rate_cards.fingerprint(rate_cards.rows_of(the_draft(world).pk)),
            "when": "now",
        },
        lambda world: _coming(world).state,
        "published",
        "ratecard.publish",
        draft,
    ),
    "change prices of a draft": Action(
        "pricing.change_ratecard",
        lambda world: f"/admin/pricing/ratecard/{the_draft(world).pk}/prices/?q=claude-sonnet-4",
        lambda world: _prices(world) | {"claude-sonnet-4:remove": "on"},
        _rates_of_draft,
        0,
        "ratecard.change_rates",
        draft,
    ),
    "change a rate of a draft": Action(
        "pricing.change_ratecard",
        lambda world: f"/admin/pricing/ratecard/{the_draft(world).pk}/prices/claude-sonnet-4/",
        lambda world: {
            "seen": drafts.seen(drafts.rows(the_draft(world))["claude-sonnet-4"]),
            **{"meter-0": "uses", "credits-0": "7", "option-0": ""},
        },
        lambda world: rate_of_draft(world).lines[0]["bands"][0]["credits"],
        "7",
        "ratecard.change_rates",
        draft,
    ),
    "return to a rate card": Action(
        "pricing.add_ratecard",
        lambda world: f"/admin/pricing/ratecard/{RateCard.objects.get(state='published').pk}/copy/",
        lambda world: {},
        lambda world: RateCard.objects.filter(state="draft").count(),
        1,
        "ratecard.roll_back",
        also=("change_ratecard",),
    ),
    "delete a draft": Action(
        "pricing.delete_ratecard",
        lambda world: f"/admin/pricing/ratecard/{the_draft(world).pk}/delete/",
        lambda world: {"post": "yes"},
        lambda world: RateCard.objects.filter(state="draft").count(),
        0,
        "ratecard.delete",
        draft,
        also=("delete_rate",),  # its rates are deleted with it
    ),
    "delete a rate of a draft": Action(
        "pricing.delete_rate",
        lambda world: f"/admin/pricing/rate/{rate_of_draft(world).pk}/delete/",
        lambda world: {"post": "yes"},
        _rates_of_draft,
        0,
        "rate.delete",
        draft,
    ),
    "delete a promotion": Action(
        "billing.delete_promotion",
        lambda world: f"/admin/billing/promotion/{Promotion.objects.get(code='GIFT').pk}/delete/",
        lambda world: {"post": "yes"},
        lambda world: list(Promotion.objects.filter(from_catalogue=False).values_list("code", flat=True)),
        ["HALF"],
        "promotion.delete",
    ),
    "apply an event again": Action(
        "billing.change_stripeevent",
        lambda world: "/admin/billing/stripeevent/",
        selected("retry", lambda world: StripeEvent.objects.all()),
        lambda world: StripeEvent.objects.get().state,
        StripeEvent.State.IGNORED,
        "stripeevent.retry",
        ignored_event,
    ),
    "compare with Stripe": Action(
        "billing.change_reconciliation",
        lambda world: "/admin/billing/reconciliation/run/",
        lambda world: {},
        lambda world: Reconciliation.objects.exclude(finished_at=None).count(),
        1,
        "reconciliation.run",
    ),
}


@pytest.mark.fault("Z6")
@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_needs_exactly_its_permission_and_changes_what_it_names(
    name: str, world: World, bob: User, signed_in: Callable[[User], Client]
) -> None:
    action = ACTIONS[name]
    action.before(world)
    app, _, codename = action.needs.partition(".")
    model = codename.partition("_")[2]
    helper = person("helper", is_staff=True)
    every = {f"{verb}_{model}" for verb in ("view", "add", "change", "delete")}
    for user, permissions, taken in (
        (helper, every - {codename}, False),
        (helper, set(), False),
        (bob, every, False),
        (helper, {f"view_{model}", codename}, True),
    ):
        with undone():
            user.user_permissions.set(
                Permission.objects.filter(
                    content_type__app_label=app, codename__in={*permissions, *action.also}
                )
            )
            browser, before = signed_in(user), action.state(world)
            response = browser.post(action.path(world), action.data(world))
            after = action.state(world)
            assert after == (action.after if taken else before), (permissions, response.status_code)
            assert after != before or not taken
            recorded = list(StaffAct.objects.filter(actor_id=user.pk).values_list("act", flat=True))
            assert (recorded == [action.act]) if taken else not recorded
