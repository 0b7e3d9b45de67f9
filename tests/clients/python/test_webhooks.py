"""Webhooks are verified as the reference library of Standard Webhooks signs them."""

from datetime import UTC, datetime

import pytest
from refill_client import InvalidWebhook, verify_webhook
from standardwebhooks import Webhook

SECRET, NEW_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = '{"type": "balance.low", "data": {"account": "acct_1"}}'
SENT_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = SENT_AT.timestamp()


def headers(*secrets: str, body: str = BODY) -> dict[str, str]:
    signatures = " ".join(Webhook(secret).sign("msg_1", SENT_AT, body) for secret in secrets)
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(NOW)),
        "Webhook-Signature": f"v1a,other {signatures}",
    }


@pytest.mark.parametrize("secrets", [SECRET, [NEW_SECRET, SECRET]])
def test_the_event_of_a_valid_webhook_is_returned(secrets: str | list[str]) -> None:
    event = verify_webhook(BODY.encode(), headers(SECRET), secrets, now=NOW)
    assert event["type"] == "balance.low"


def test_one_of_several_signatures_suffices() -> None:
    assert verify_webhook(BODY, headers(SECRET, NEW_SECRET), NEW_SECRET, now=NOW)


@pytest.mark.parametrize("late", [301, -301])
def test_an_old_or_future_webhook_is_refused(late: int) -> None:
    with pytest.raises(InvalidWebhook):
        verify_webhook(BODY, headers(SECRET), SECRET, now=NOW + late)
    assert verify_webhook(BODY, headers(SECRET), SECRET, now=NOW + late, tolerance=302)


def test_another_secret_body_id_or_no_headers_are_refused() -> None:
    valid = headers(SECRET)
    cases = [
        (BODY, valid, NEW_SECRET),
        (BODY + " ", valid, SECRET),
        (BODY, valid | {"Webhook-Id": "msg_2"}, SECRET),
        (BODY, valid | {"Webhook-Signature": "é"}, SECRET),
        (BODY, valid | {"Webhook-Timestamp": "x"}, SECRET),
        (BODY, {}, SECRET),
        ("[]", headers(SECRET, body="[]"), SECRET),
    ]
    for body, given, secret in cases:
        with pytest.raises(InvalidWebhook):
            verify_webhook(body, given, secret, now=NOW)
