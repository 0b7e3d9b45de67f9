"""Endpoints: secrets, URLs, numbers, and why one is disabled and enabled again."""

import datetime as dt
from typing import Any

import pytest
from django.http import Http404
from standardwebhooks import Webhook

from accounts import encryption
from accounts.models import Account, WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import deliveries, endpoints, targets
from accounts.webhook_endpoints.exchange import Answer
from billing.models import Mail
from tests.accounts.webhook_endpoints.conftest import (
    DAY,
    FAILS,
    GONE,
    MINUTE,
    NOON,
    OK,
    happen,
    new_endpoint,
    send_all,
)
from tests.conftest import person

pytestmark = pytest.mark.django_db


def again(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint.objects.get(pk=endpoint.pk)


def test_the_secret_is_stored_encrypted_and_has_the_standard_form(account: Account) -> None:
    issued = endpoints.create(
        account=account, url="https://a.example.com/", events=["member.added"], description="", now=NOON
    )
    assert Webhook(issued.secret)  # whsec_ and base64
    assert issued.secret.startswith("whsec_")
    assert issued.secret.encode() not in bytes(issued.endpoint.secret)
    assert encryption.decrypt(again(issued.endpoint).secret) == issued.secret


def test_after_a_rotation_both_secrets_sign_for_a_day(account: Account) -> None:
    first = endpoints.create(
        account=account, url="https://a.example.com/", events=["member.added"], description="", now=NOON
    )
    second = endpoints.rotate_secret(first.endpoint, NOON)
    endpoint = again(first.endpoint)
    assert endpoints.secrets_of(endpoint, NOON + DAY / 2) == [second.secret, first.secret]
    assert endpoints.secrets_of(endpoint, NOON + DAY) == [second.secret]
    assert endpoints.overlap_ends(endpoint) == NOON + DAY


def test_a_second_rotation_keeps_each_secret_for_its_day(account: Account) -> None:
    first = endpoints.create(
        account=account, url="https://a.example.com/", events=["member.added"], description="", now=NOON
    )
    second = endpoints.rotate_secret(first.endpoint, NOON)
    third = endpoints.rotate_secret(first.endpoint, NOON + DAY / 2)
    endpoint = again(first.endpoint)
    every = [third.secret, second.secret, first.secret]
    assert endpoints.secrets_of(endpoint, NOON + DAY / 2) == every
    assert endpoints.secrets_of(endpoint, NOON + DAY) == every[:2]
    assert endpoints.secrets_of(endpoint, NOON + DAY * 1.5) == every[:1]
    assert endpoints.overlap_ends(endpoint) == NOON + DAY * 1.5


def test_at_most_five_secrets_sign(account: Account) -> None:
    endpoint = new_endpoint(account)
    for hour in range(endpoints.MOST_SECRETS - 1):
        endpoints.rotate_secret(endpoint, NOON + hour * dt.timedelta(hours=1))
    with pytest.raises(endpoints.TooManySecrets) as refused:
        endpoints.rotate_secret(endpoint, NOON + DAY - MINUTE)
    assert refused.value.extra() == {"first_ends_at": "2026-03-11T12:00:00Z"}
    assert len(endpoints.secrets_of(again(endpoint), NOON + DAY - MINUTE)) == endpoints.MOST_SECRETS
    endpoints.rotate_secret(endpoint, NOON + DAY)
    assert len(endpoints.secrets_of(again(endpoint), NOON + DAY)) == endpoints.MOST_SECRETS


def test_an_account_has_at_most_ten_endpoints(account: Account, team: Account) -> None:
    for number in range(endpoints.MOST_ENDPOINTS):
        new_endpoint(account, f"https://hooks.example.com/{number}")
    with pytest.raises(endpoints.TooManyEndpoints):
        new_endpoint(account)
    new_endpoint(team)
    new_endpoint(None)


def test_a_url_is_checked_when_it_is_set(account: Account, settings: Any) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = "platform"
    with pytest.raises(targets.UrlRefused):
        new_endpoint(account, "https://127.0.0.1/")
    with pytest.raises(targets.UrlRefused):
        endpoints.change(new_endpoint(account), url="http://hooks.example.com/", now=NOON)
    new_endpoint(None, "http://127.0.0.1:8080/")


def mails() -> list[Any]:
    return list(Mail.objects.filter(template="webhook_disabled"))


def test_410_disables_the_endpoint(account: Account, alice: Any) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    assert send_all(NOON, GONE) == ["a"]
    endpoint = again(endpoint)
    assert (endpoint.disabled_at, endpoint.disabled_reason) == (NOON, "gone")
    [mail] = mails()
    assert (mail.recipients, mail.context) == ([alice.email], {"url": endpoint.url, "reason": "gone"})
    happen(account, "b")
    assert send_all(NOON + DAY) == []
    assert WebhookEvent.objects.count() == 1


def test_three_days_without_a_success_disable_the_endpoint(account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    now = NOON
    while not again(endpoint).disabled_at:
        assert now - NOON < 4 * DAY
        send_all(now, FAILS)
        now += dt.timedelta(hours=1)
    assert again(endpoint).disabled_reason == "failing"
    assert now - NOON > 3 * DAY
    assert len(mails()) == 1


@pytest.mark.parametrize(("seconds", "disabled"), [(-1, False), (0, True)])
def test_an_endpoint_is_disabled_three_days_after_the_first_failure(
    account: Account, seconds: int, disabled: bool
) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    send_all(NOON, FAILS)
    now = NOON + 3 * DAY + dt.timedelta(seconds=seconds)
    WebhookEndpoint.objects.update(failed_at=now - dt.timedelta(hours=1))
    send_all(now, FAILS)
    assert (again(endpoint).disabled_at is not None) == disabled


def test_an_outage_of_the_sender_does_not_disable_an_endpoint(account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    send_all(NOON, FAILS)
    back = NOON + 3 * DAY
    assert send_all(back, FAILS) == ["a"]
    assert again(endpoint).disabled_at is None
    assert again(endpoint).failing_since == back


def test_failures_long_after_the_last_one_begin_anew(account: Account, team: Account) -> None:
    """The last event failed ten times and nothing else happened."""
    endpoint = new_endpoint(None)
    happen(account, "a")
    send_all(NOON, FAILS)
    WebhookDelivery.objects.update(status="failed", due_at=None)
    happen(team, "b", now=NOON + 10 * DAY)
    assert send_all(NOON + 10 * DAY, FAILS) == ["b"]
    assert again(endpoint).disabled_at is None


def test_a_success_begins_the_three_days_anew(account: Account, team: Account) -> None:
    endpoint = new_endpoint(None)
    happen(account, "bad")
    for hour in range(0, 120, 2):
        happen(team, f"good {hour}")
        send_all(NOON + dt.timedelta(hours=hour), lambda fact: OK if fact.startswith("good") else FAILS)
    assert (again(endpoint).disabled_at, again(endpoint).failing_since) == (None, None)
    assert WebhookDelivery.objects.get(event__fact="bad").status == "failed"


def test_staff_are_told_of_an_endpoint_of_the_platform(account: Account, staff: Any) -> None:
    person("former", is_staff=True, is_active=False)
    new_endpoint(None)
    happen(account, "a")
    send_all(NOON, GONE)
    [mail] = mails()
    assert (mail.recipients, mail.account_id) == ([staff.email], None)


def test_an_endpoint_that_is_enabled_again_gets_what_was_pending_in_order(account: Account) -> None:
    endpoint = new_endpoint(account)
    for fact in "abc":
        happen(account, fact)
    send_all(NOON, GONE)
    later = NOON + 2 * DAY
    WebhookEvent.objects.filter(fact="a").delete()  # as by the purge
    endpoints.change(again(endpoint), enabled=True, now=later)
    assert send_all(later) == ["b", "c"]
    endpoint = again(endpoint)
    assert (endpoint.disabled_at, endpoint.disabled_reason, endpoint.failures) == (None, "", 0)


def test_another_url_ends_the_rest(account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    for minutes in (0, 1, 10):
        send_all(NOON + minutes * MINUTE, Answer(error="timed out", seconds=15))
    now = NOON + 11 * MINUTE
    assert send_all(now) == []
    endpoints.change(again(endpoint), url=endpoint.url, now=now)
    assert send_all(now) == [], "the same URL changes nothing"
    endpoints.change(again(endpoint), url="https://other.example.com/", now=now)
    assert send_all(now) == ["a"]


def test_a_deleted_endpoint_gets_nothing_more(account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    deliveries.fan_out(NOON)
    claimed = deliveries.claim(NOON)
    assert claimed is not None
    endpoints.delete(endpoint)
    deliveries.finish(claimed, OK, NOON)
    assert deliveries.claim(NOON) is None
    assert not WebhookDelivery.objects.exists()


def test_an_endpoint_that_was_deleted_meanwhile_is_not_found(account: Account) -> None:
    endpoint = new_endpoint(account)
    endpoints.delete(endpoint)
    endpoints.delete(endpoint)
    with pytest.raises(Http404):
        endpoints.change(endpoint, enabled=False, now=NOON)
    with pytest.raises(Http404):
        endpoints.rotate_secret(endpoint, NOON)
    with pytest.raises(Http404):
        deliveries.send_test(endpoint, NOON)
