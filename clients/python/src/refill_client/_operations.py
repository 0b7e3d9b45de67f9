"""The endpoints as methods, declared once for both clients.

`operation` turns a function that returns a call into a method that sends it: its result with `Client`, an
awaitable of it with `AsyncClient`. `listing` does the same for lists, whose pages become one iterator.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from refill_client import _buying, _events, _history, _members, _settings, _spending, _webhooks
from refill_client._calls import Call, Page
from refill_client._events import Stream
from refill_client.models import Event

if TYPE_CHECKING:
    from refill_client.client import AsyncClient, Client

P = ParamSpec("P")
T = TypeVar("T")


class operation(Generic[P, T]):
    """A method that sends the call of one endpoint."""

    def __init__(self, call_of: Callable[P, Call[T]]) -> None:
        self.call_of = call_of
        self.__doc__ = call_of.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> operation[P, T]: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, Awaitable[T]]: ...

    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        @wraps(self.call_of)
        def method(*args: P.args, **fields: P.kwargs) -> Any:
            return client.send(self.call_of(*args, **fields))

        return method


class listing(Generic[P, T]):
    """A method that iterates over all pages of a list."""

    def __init__(self, call_of: Callable[P, Call[Page[T]]]) -> None:
        self.call_of = call_of
        self.__doc__ = call_of.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> listing[P, T]: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, AsyncIterator[T]]: ...

    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        @wraps(self.call_of)
        def method(*args: P.args, **fields: P.kwargs) -> Any:
            return client.items(self.call_of(*args, **fields))

        return method


class streaming(Generic[P]):
    """A method that iterates over the events of a stream."""

    def __init__(self, stream_of: Callable[P, Stream]) -> None:
        self.stream_of = stream_of
        self.__doc__ = stream_of.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> streaming[P]: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, Iterator[Event]]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, AsyncIterator[Event]]: ...

    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        @wraps(self.stream_of)
        def method(*args: P.args, **fields: P.kwargs) -> Any:
            return client.stream(self.stream_of(*args, **fields))

        return method


class Operations:
    """Every endpoint of the API."""

    balance = operation(_spending.balance)
    grants = listing(_spending.grants)
    transactions = listing(_spending.transactions)
    services = listing(_spending.services)
    service = operation(_spending.service)
    estimate = operation(_spending.estimate)
    charge = operation(_spending.charge)
    charge_batch = operation(_spending.charge_batch)
    charges = listing(_spending.charges)
    get_charge = operation(_spending.get_charge)
    reverse_charge = operation(_spending.reverse_charge)
    report_charge = operation(_spending.report_charge)
    open_hold = operation(_spending.open_hold)
    holds = listing(_spending.holds)
    get_hold = operation(_spending.get_hold)
    capture_hold = operation(_spending.capture_hold)
    report_hold_usage = operation(_spending.report_hold_usage)
    release_hold = operation(_spending.release_hold)
    usage_report = operation(_spending.usage_report)
    refusals = listing(_spending.refusals)
    projects = listing(_spending.projects)
    create_project = operation(_spending.create_project)
    update_project = operation(_spending.update_project)
    provider_keys = listing(_spending.provider_keys)
    add_provider_key = operation(_spending.add_provider_key)
    delete_provider_key = operation(_spending.delete_provider_key)

    exports = listing(_history.exports)
    create_export = operation(_history.create_export)
    get_export = operation(_history.get_export)
    download_export = operation(_history.download_export)
    statement = operation(_history.statement)
    signed_statement = operation(_history.signed_statement)
    memorial_wall = listing(_history.memorial_wall)

    events = streaming(_events.events)
    members = listing(_members.members)
    add_member = operation(_members.add_member)
    update_member = operation(_members.update_member)
    remove_member = operation(_members.remove_member)
    hand_over = operation(_members.hand_over)
    leave = operation(_members.leave)
    team_requests = listing(_members.team_requests)
    request_team = operation(_members.request_team)
    withdraw_team_request = operation(_members.withdraw_team_request)
    invitations = listing(_members.invitations)
    invite = operation(_members.invite)
    revoke_invitation = operation(_members.revoke_invitation)
    keys = listing(_members.keys)
    create_key = operation(_members.create_key)
    update_key = operation(_members.update_key)
    revoke_key = operation(_members.revoke_key)

    create_account = operation(_buying.create_account)
    get_account = operation(_buying.get_account)
    give_credits = operation(_buying.give_credits)
    plans = listing(_buying.plans)
    packs = listing(_buying.packs)
    checkout = operation(_buying.checkout)
    preview_checkout = operation(_buying.preview_checkout)
    purchases = listing(_buying.purchases)
    get_purchase = operation(_buying.get_purchase)
    cancel_purchase = operation(_buying.cancel_purchase)
    invoice = operation(_buying.invoice)
    request_refund = operation(_buying.request_refund)
    withdraw_refund_request = operation(_buying.withdraw_refund_request)
    subscription = operation(_buying.subscription)
    change_subscription = operation(_buying.change_subscription)
    preview_subscription_change = operation(_buying.preview_subscription_change)
    cancel_subscription = operation(_buying.cancel_subscription)
    resume_subscription = operation(_buying.resume_subscription)
    pause_subscription = operation(_buying.pause_subscription)
    unpause_subscription = operation(_buying.unpause_subscription)
    pay_overdue = operation(_buying.pay_overdue)
    redeem = operation(_buying.redeem)

    settings = operation(_settings.settings)
    update_settings = operation(_settings.update_settings)
    payment_method = operation(_settings.payment_method)
    card_page = operation(_settings.card_page)
    remove_card = operation(_settings.remove_card)
    customer_portal = operation(_settings.customer_portal)
    referral_link = operation(_settings.referral_link)
    referrals = listing(_settings.referrals)
    alerts = operation(_settings.alerts)
    set_alerts = operation(_settings.set_alerts)
    monthly_budget = operation(_settings.monthly_budget)
    set_monthly_budget = operation(_settings.set_monthly_budget)
    auto_top_up = operation(_settings.auto_top_up)
    set_auto_top_up = operation(_settings.set_auto_top_up)
    confirm_top_up = operation(_settings.confirm_top_up)

    webhook_endpoints = listing(_webhooks.webhook_endpoints)
    create_webhook_endpoint = operation(_webhooks.create_webhook_endpoint)
    update_webhook_endpoint = operation(_webhooks.update_webhook_endpoint)
    delete_webhook_endpoint = operation(_webhooks.delete_webhook_endpoint)
    rotate_webhook_secret = operation(_webhooks.rotate_webhook_secret)
    test_webhook_endpoint = operation(_webhooks.test_webhook_endpoint)
    webhook_deliveries = listing(_webhooks.webhook_deliveries)
    redeliver_webhook = operation(_webhooks.redeliver_webhook)
