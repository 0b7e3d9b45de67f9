"""A use as a parameter of the ledger's SQL functions: named parameters, or JSON where a call has many uses.

Invariant: both forms carry the same fields, those of the SQL type ledger_use.
"""

import json
from typing import Any

from billing.ledger.moves import ChargeRequest
from core import json_body

_IDS = ("account_id", "id", "project_id", "member_id", "api_key_id")
USE = """ledger_new_use(account_id => %(account_id)s, id => %(id)s, key => %(key)s,
  fingerprint => %(fingerprint)s, credits => %(credits)s, service => %(service)s,
  covers => %(covers)s::text[], action => %(action)s, project_id => %(project_id)s,
  member_id => %(member_id)s, api_key_id => %(api_key_id)s, conversation => %(conversation)s,
  covered_by => %(covered_by)s, quota => %(quota)s, quota_count => %(quota_count)s,
  detail => %(detail)s::jsonb)"""
CHARGE = f"select * from ledger_charge(%(account_id)s, {USE}, %(now)s)"


def use_parameters(request: ChargeRequest) -> dict[str, Any]:
    """Return the parameters of `USE` by name."""
    return _values(request) | {"detail": json.dumps(request.detail)}


def _values(request: ChargeRequest) -> dict[str, Any]:
    quota, count = request.quota or (None, None)
    return {
        "account_id": request.account_id,
        "id": request.id,
        "key": request.key,
        "fingerprint": request.fingerprint,
        "credits": request.credits,
        "service": request.service,
        "covers": list(request.covers),
        "action": request.action,
        "project_id": request.project_id,
        "member_id": request.member_id,
        "api_key_id": request.api_key_id,
        "conversation": request.conversation,
        "covered_by": request.covered_by,
        "quota": quota,
        "quota_count": count,
        "detail": request.detail,
    }


def use_as_json(request: ChargeRequest) -> str:
    """Return the use as JSON text for calls with many uses."""
    values = _values(request)
    for name in _IDS:
        if values[name] is not None:
            values[name] = str(values[name])
    values["fingerprint"] = f"\\x{request.fingerprint.hex()}"
    values["credits"] = format(request.credits, "f")
    return json_body.dumps(values)
