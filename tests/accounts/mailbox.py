"""What was sent, as a person reads it."""

import re

from django.core import mail


def code_sent_to(address: str) -> str:
    """The code in the newest mail to that address."""
    newest = [message for message in mail.outbox if address in message.to][-1]
    found = re.search(r"^ {4}(\d{6})$", newest.body, re.MULTILINE)
    assert found, f"No code in:\n{newest.body}"
    return found[1]


def subjects_to(address: str) -> list[str]:
    return [message.subject for message in mail.outbox if address in message.to]
