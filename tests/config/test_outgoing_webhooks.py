"""The settings of outgoing webhooks."""

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import broker, outgoing_webhooks


def test_an_unknown_choice_of_private_addresses_stops_the_start() -> None:
    assert outgoing_webhooks.checked("platform") == "platform"
    with pytest.raises(ImproperlyConfigured):
        outgoing_webhooks.checked("yes")


def test_webhooks_have_a_queue_of_their_own() -> None:
    assert settings.CELERY_TASK_ROUTES["accounts.tasks.send_webhooks"]["queue"] == broker.WEBHOOK_QUEUE
    assert broker.WEBHOOK_QUEUE != settings.CELERY_TASK_DEFAULT_QUEUE
    assert settings.CELERY_BEAT_SCHEDULE["webhooks"]["task"] == "accounts.tasks.send_webhooks"
    [line] = [
        one
        for one in (settings.BASE_DIR / "Procfile").read_text().splitlines()
        if one.startswith("webhooks:")
    ]
    assert f"--queues {broker.WEBHOOK_QUEUE} " in line
