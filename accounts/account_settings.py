"""Settings of an account: its name and its time zone.

Invariant: the ledger applies a new zone at the next renewal, so that no day is given twice.
"""

from uuid import UUID

from accounts.models import Account


def change(account_id: UUID, *, name: str | None = None, zone: str | None = None) -> None:
    """Save name and time zone of an account; None keeps the value. `zone` is a name of accounts.zones."""
    account = Account.objects.get(pk=account_id)
    changed = {field: value for field, value in (("name", name), ("zone", zone)) if value is not None}
    for field, value in changed.items():
        setattr(account, field, value)
    account.save(update_fields=list(changed))  # a receiver settles the wallet before the zone changes
