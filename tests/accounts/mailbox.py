"""Read the e-mails that a test has sent."""

import re

from django.core import mail


def code_sent_to(address: str) -> str:
    """The code in the newest e-mail to that address."""
    newest = [message for message in mail.outbox if address in message.to][-1]
    match = re.search(r"^ {4}(\d{6})$", str(newest.body), re.MULTILINE)
    assert match, f"No code in:\n{newest.body}"
    return match[1]


def subjects_to(address: str) -> list[str]:
    return [str(message.subject) for message in mail.outbox if address in message.to]
