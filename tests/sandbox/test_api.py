"""Requests and responses of the API: authentication, parameters, errors, pagination, expansion, metadata."""

from typing import Any

import pytest
import stripe
from django.test import Client

CUSTOMERS = "/sandbox/stripe/v1/customers"
EVENTS = "/sandbox/stripe/v1/events"
KEY = {"Authorization": "Bearer sk_test_sandbox"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer sk_test_other"},
        {"Authorization": "Basic !!"},
        {"Authorization": "Bearer schlüssel"},
    ],
)
def test_the_secret_key_is_required(db: None, client: Client, headers: dict[str, str]) -> None:
    response = client.get(EVENTS, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_the_key_is_accepted_by_basic_authentication(db: None, client: Client) -> None:
    # "sk_test_sandbox:" in base64
    response = client.get(EVENTS, headers={"Authorization": "Basic c2tfdGVzdF9zYW5kYm94Og=="})
    assert response.json()["object"] == "list"


def test_the_api_sets_no_cookie_and_needs_no_csrf_token(db: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    response = strict.post(
        CUSTOMERS, "name=Ann", headers=KEY, content_type="application/x-www-form-urlencoded"
    )
    assert response.status_code == 200
    assert not response.cookies


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ("amount=100&currency=usd&amout=1", "parameter_unknown", "amout"),
        ("amount=100&currency=usd&shipping[nam]=x", "parameter_unknown", "shipping[nam]"),
        ("currency=usd", "parameter_missing", "amount"),
        ("amount=ten&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=1e3&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=10.5&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=100&currency=usd&confirm=yes", None, "confirm"),
        ("amount=100&currency=usd&setup_future_usage=sometimes", None, "setup_future_usage"),
        ("amount=100&currency=usd&metadata=x", "parameter_invalid_object", "metadata"),
        ("amount=100&currency=usd&payment_method_types[0]=card", "parameter_unknown", "payment_method_types"),
        (
            "amount=100&currency=usd&allowed_payment_method_types[0]=cash",
            None,
            "allowed_payment_method_types[0]",
        ),
        ("amount=-5&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=100&currency=usd&description=", "parameter_invalid_empty", "description"),
        ("amount=100&currency=usd&metadata[a]=" + "x" * 501, None, "metadata[a]"),
        ("amount=100&currency=usd&metadata[" + "k" * 41 + "]=1", None, "metadata"),
        ("amount[a]=1&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=100&currency=usd&" + "a[b]" * 20 + "=1", "parameter_unknown", None),
    ],
)
def test_an_invalid_parameter_is_named(
    db: None, client: Client, form: str, code: str | None, param: str | None
) -> None:
    response = client.post(
        "/sandbox/stripe/v1/payment_intents",
        form,
        content_type="application/x-www-form-urlencoded",
        headers=KEY,
    )
    error = response.json()["error"]
    assert response.status_code == 400
    assert error.get("code") == code
    assert param is None or error["param"] == param


def test_a_parameter_that_the_sandbox_does_not_support_is_refused(v1: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.payment_intents.create({"amount": 100, "currency": "usd", "capture_method": "manual"})
    assert refused.value.code == "sandbox_gap"


def test_an_unknown_id_is_404_in_the_path_and_400_in_a_parameter(v1: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.customers.retrieve("cus_unknown")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.payment_intents.create({"amount": 100, "currency": "usd", "customer": "cus_unknown"})
    assert (refused.value.http_status, refused.value.param) == (400, "customer")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.topups.list()
    assert refused.value.http_status == 404


def test_metadata_is_merged_and_an_empty_string_removes_it(v1: Any) -> None:
    made = v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = v1.customers.update(made.id, {"metadata": {"b": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}
    assert v1.customers.update(made.id, {"metadata": ""}).metadata.to_dict() == {}


def test_lists_are_paginated_in_both_directions(v1: Any) -> None:
    created = [v1.payment_intents.create({"amount": 100 + n, "currency": "usd"}).id for n in range(5)]
    newest_first = list(reversed(created))
    first = v1.payment_intents.list({"limit": 2})
    assert ([intent.id for intent in first.data], first.has_more) == (newest_first[:2], True)
    after = v1.payment_intents.list({"limit": 3, "starting_after": newest_first[1]})
    assert ([intent.id for intent in after.data], after.has_more) == (newest_first[2:], False)
    before = v1.payment_intents.list({"limit": 1, "ending_before": newest_first[2]})
    assert ([intent.id for intent in before.data], before.has_more) == ([newest_first[1]], True)
    every_page = v1.payment_intents.list({"limit": 2}).auto_paging_iter()
    assert [intent.id for intent in every_page] == newest_first
    for limit in (0, 101):
        with pytest.raises(stripe.InvalidRequestError):
            v1.payment_intents.list({"limit": limit})


def test_lists_can_be_filtered_by_creation_time(v1: Any) -> None:
    created = v1.payment_intents.create({"amount": 100, "currency": "usd"}).created
    assert len(v1.payment_intents.list({"created": {"gte": created}}).data) == 1
    assert v1.payment_intents.list({"created": {"gt": created + 5}}).data == []
    assert v1.payment_intents.list({"created": {"lt": created}}).data == []


def test_only_references_can_be_expanded(v1: Any) -> None:
    params = {"amount": 100, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    intent = v1.payment_intents.create(params | {"expand": ["latest_charge.payment_intent"]})
    assert intent.latest_charge.payment_intent.id == intent.id
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        v1.payment_intents.retrieve(intent.id, {"expand": ["amount"]})
    listed = v1.payment_intents.list({"expand": ["data.latest_charge"]})
    assert listed.data[0].latest_charge.paid


def test_an_event_has_the_version_of_the_sdk(v1: Any) -> None:
    v1.customers.create({})
    event = v1.events.list().data[0]
    assert (event.type, event.livemode, event.api_version) == ("customer.created", False, stripe.api_version)


def test_a_detached_card_cannot_be_attached_again(v1: Any, customer: Any, buyer: Any) -> None:
    owner = customer()
    card = v1.payment_methods.attach("pm_card_mastercard", {"customer": owner.id}).id
    portal = v1.billing_portal.sessions.create({"customer": owner.id, "return_url": "http://shop.example"})
    buyer.open(portal.url)
    buyer.submit(f"{portal.url}/act", action="remove", target=card)
    assert v1.payment_methods.retrieve(card).customer is None
    with pytest.raises(stripe.InvalidRequestError):
        v1.payment_methods.attach(card, {"customer": owner.id})
