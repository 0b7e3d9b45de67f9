"""Charges and holds that a path names."""

from typing import TypeVar

from rest_framework.request import Request

from accounts.authentication import object_of, principal_of
from accounts.models import Account
from billing import ledger
from billing.models import Charge, Hold
from core import problems

Move = TypeVar("Move", Charge, Hold)


def move_of(request: Request, model: type[Move], public_id: str, named: str | None = None) -> Move:
    """As `object_of`, also where the ledger is on several nodes: the account that a platform key left out is
    looked for on one node after the other, and one that is down does not matter to the accounts of others.
    """
    is_named = named or request.query_params.get("account")
    if ledger.is_distributed() and principal_of(request).account_id is None and not is_named:
        value = model.uuid_of(public_id)
        owner = ledger.owner(model._meta.db_table, value) if value else None
        if owner is None:
            raise problems.not_found()
        named = Account.public_id_of(owner)
    return object_of(request, model, public_id, named)


def reload(move: Move) -> None:
    """Read the row again, from the node of its account."""
    move.refresh_from_db(from_queryset=type(move).objects.filter(account_id=move.account_id))
