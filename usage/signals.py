"""Receivers of the signals of accounts, connected when the app is ready.

Invariant: they run in the sender's transaction; an error rolls it back.
"""

from typing import Any

from accounts import erasure
from accounts.models import Account
from usage.models import ChargeReport, Export


def connect() -> None:
    """Connect the receivers; called once by UsageConfig.ready."""
    erasure.user_erased.connect(_on_user_erased, dispatch_uid="usage.user_erased")


def _on_user_erased(account: Account, **_: Any) -> None:
    """Delete the files of the history and what the user has written about charges."""
    Export.objects.filter(account=account).delete()
    ChargeReport.objects.filter(account=account).update(reason="", answer="")
