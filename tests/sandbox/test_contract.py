"""The sandbox against the installed SDK: every endpoint, every parameter, every object it shows."""

from datetime import UTC, datetime
from typing import Any

import stripe
from django.utils import timezone

from sandbox import scheduled_actions, store
from sandbox.api import routes, sdk_types
from sandbox.models import Resource
from sandbox.objects import events
from tests.sandbox import sdk_shapes


def test_every_endpoint_of_the_sdk_has_readable_parameter_types() -> None:
    endpoints = sdk_types.endpoints()
    assert len(endpoints) > 500
    for endpoint in endpoints.values():
        declared = endpoint.params_type()
        if declared is not None:
            assert set(sdk_types.required(declared)) <= set(sdk_types.fields(declared))


def test_every_route_is_an_endpoint_of_the_sdk_and_takes_only_what_stripe_takes() -> None:
    for route in routes.ROUTES:
        declared = sdk_types.endpoints()[route.method, route.path].params_type()
        fields = set(sdk_types.fields(declared)) if declared else set()
        assert route.known - {"expand"} <= fields, route.path
        assert set(sdk_types.required(declared)) <= route.known if declared else True, route.path


def test_no_endpoint_has_two_routes() -> None:
    named = [(route.method, route.path) for route in routes.ROUTES]
    assert len(named) == len(set(named))


def test_the_shape_check_finds_what_is_wrong(v1: Any) -> None:
    good = v1.customers.create({}).to_dict()
    assert sdk_shapes.faults(good) == []
    for broken, words in (
        ({key: value for key, value in good.items() if key != "created"}, "created is missing"),
        (good | {"balance": "0"}, "balance is '0'"),
        (good | {"livemode": None}, "livemode is None"),
        (good | {"credits": 1}, "credits is no field"),
        (good | {"tax_exempt": "maybe"}, "not one of"),
        (good | {"invoice_settings": {"default_payment_method": 5}}, "default_payment_method"),
    ):
        assert any(words in fault for fault in sdk_shapes.faults(broken)), words


def test_every_object_and_event_is_one_that_stripe_would_send(
    v1: Any, checkout: Any, buyer: Any, customer: Any, price: Any, event_types: Any
) -> None:
    live_through_everything(v1, checkout, buyer, customer, price)
    kinds = set()
    found = set()
    for row in Resource.objects.all():
        kinds.add(row.kind)
        found |= set(sdk_shapes.faults(store.public(row.body)))
    assert found == set()
    assert kinds == {*store.PREFIXES, "coupon"} - {"item", "line_item", "subscription_item"}
    listed = Resource.objects.filter(kind="checkout.session").first()
    assert listed is not None
    expanded = v1.checkout.sessions.retrieve(
        listed.stripe_id, {"expand": ["line_items", "payment_intent.latest_charge"]}
    )
    assert sdk_shapes.faults(expanded.last_response.data) == []
    _check_event_types()


def _check_event_types() -> None:
    """Each is one of those a webhook endpoint can ask for."""
    sent = set(Resource.objects.filter(kind="event").values_list("body__type", flat=True))
    endpoint = sdk_types.endpoints()["post", "/v1/webhook_endpoints"]
    named = str(sdk_types.fields(endpoint.params_type())["enabled_events"])
    assert len(sent) > 40
    assert not {name for name in sent if f"'{name}'" not in named}
    assert stripe.api_version == events.API_VERSION


def live_through_everything(v1: Any, checkout: Any, buyer: Any, customer: Any, price: Any) -> None:
    """A long story that makes at least one object of every kind the sandbox has, in several states."""
    buy_packs(v1, checkout, buyer, customer)
    keep_a_plan(v1, customer, price)


def buy_packs(v1: Any, checkout: Any, buyer: Any, customer: Any) -> None:
    for card in ("4000 0000 0000 0002", "4242 4242 4242 4242"):
        session = checkout()
        buyer.pay(session.url, card)
    charge = v1.charges.list().data[0].id
    v1.refunds.create({"charge": charge, "amount": 10})
    buyer.pay(checkout().url, "4000 0000 0000 5126")
    v1.refunds.create({"charge": v1.charges.list().data[0].id})
    buyer.pay(checkout().url, "4000 0000 0000 0259")
    v1.disputes.update(
        v1.disputes.list().data[0].id, {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    buyer.pay((asked := checkout()).url, "4000 0027 6000 3184")
    buyer.open(bank := buyer.led_to)
    buyer.submit(bank, decision="fail")
    v1.checkout.sessions.expire(asked.id)
    for method in ("alipay", "customer_balance"):
        session = checkout(customer=customer(card=None).id, allowed_payment_method_types=[method])
        buyer.open(session.url)
        buyer.submit(session.url, method=method, email="a@example.org")
    buyer.open(wallet := v1.payment_intents.list().data[1].next_action.redirect_to_url.url)
    buyer.submit(wallet, decision="later")
    scheduled_actions.settle_pending(timezone.now())
    scheduled_actions.happen(timezone.now() + scheduled_actions.refunds.DECIDED_AFTER)


def keep_a_plan(v1: Any, customer: Any, price: Any) -> None:
    november = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
    coupon = v1.coupons.create({"percent_off": "12.5", "duration": "forever"})
    code = v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}})
    owner = customer(at=november)
    v1.checkout.sessions.create(
        {"mode": "setup", "customer": owner.id, "currency": "usd", "success_url": "http://x.example"}
    )
    v1.setup_intents.create({"customer": owner.id, "payment_method": "pm_card_visa", "confirm": True})
    plan = v1.subscriptions.create(
        {"customer": owner.id, "items": [{"price": price().id}], "discounts": [{"promotion_code": code.id}]}
    )
    item = plan["items"].data[0]
    change = [{"id": item.id, "price": price(6000).id}]
    v1.subscriptions.update(plan.id, {"items": change, "proration_behavior": "create_prorations"})
    v1.invoices.create_preview({"subscription": plan.id})
    v1.subscription_schedules.create({"from_subscription": plan.id})
    v1.test_helpers.test_clocks.advance(plan.test_clock, {"frozen_time": november + 40 * 86400})
    bad = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": owner.id}).id
    v1.subscriptions.update(plan.id, {"default_payment_method": bad})
    v1.test_helpers.test_clocks.advance(plan.test_clock, {"frozen_time": november + 100 * 86400})
    v1.invoice_items.create({"customer": owner.id, "amount": 700, "currency": "usd"})
    v1.webhook_endpoints.create({"url": "https://hooks.example/", "enabled_events": ["charge.failed"]})
    v1.billing_portal.sessions.create({"customer": owner.id, "flow_data": {"type": "payment_method_update"}})
    v1.customers.delete(customer().id)
