"""Receivers of the signals of accounts, connected when the app is ready.

Invariant: they run in the sender's transaction; an error rolls it back.
"""

from typing import Any

from accounts import erasure
from accounts.models import Account
from usage.models import ChargeReport, Export, StatementEmails


def connect() -> None:
    """Connect the receivers; called once by UsageConfig.ready."""
    erasure.account_closed.connect(_on_account_closed, dispatch_uid="usage.account_closed")


def _on_account_closed(account: Account, **_: Any) -> None:
    """Delete the files of the history and what members have written about charges."""
    Export.objects.filter(account=account).delete()
    StatementEmails.objects.filter(account=account).delete()
    ChargeReport.objects.filter(account=account).update(reason="", answer="")
