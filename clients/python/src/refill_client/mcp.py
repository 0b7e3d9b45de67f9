"""`refill-mcp`: an MCP server (stdio) with which an agent watches and plans what it spends.

It needs `pip install refill-client[mcp]` and the environment variables REFILL_URL and REFILL_KEY: a key of
the agent's account, with the scopes `read` and `spend`. REFILL_ACCOUNT names the account of a platform key.

An agent sees its balance, estimates before it acts, asks for a budget (a hold), and settles or returns it.
Amounts are strings in decimal notation. A refusal is the error of the tool, with what the account can do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from refill_client._decoding import amount
from refill_client._version import VERSION
from refill_client.client import AsyncClient
from refill_client.errors import ApiError, RefillError
from refill_client.models import Estimate, Hold

T = TypeVar("T")
Answer = dict[str, Any]
INSTRUCTIONS = """Credits of your account. Look at the balance first, estimate before an expensive action, ask
for a budget before a longer task, and settle or release it at the end. The balance is the limit."""


def server(client: AsyncClient) -> MCPServer:
    """The MCP server for the account of the client."""
    tools = Tools(client)
    mcp = MCPServer("refill", instructions=INSTRUCTIONS, version=VERSION)
    for tool in (
        tools.balance,
        tools.estimate,
        tools.request_budget,
        tools.show_budget,
        tools.settle_budget,
        tools.release_budget,
        tools.spend_report,
    ):
        mcp.tool()(tool)
    return mcp


class Tools:
    """The tools; their docstrings are what an agent reads."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def balance(self) -> Answer:
        """The credits that can be spent now, those held by budgets, and when the next daily credits come."""
        balance = await _told(self._client.balance())
        daily = balance.daily and {
            "amount": amount(balance.daily.amount),
            "remaining": amount(balance.daily.remaining),
            "resets_at": balance.daily.resets_at.isoformat(),
        }
        return {
            "available": amount(balance.available),
            "held": amount(balance.held),
            "debt": amount(balance.debt),
            "low": balance.low,
            "daily": daily,
            "unlimited_services": balance.unlimited_services,
        }

    async def estimate(
        self,
        service: str,
        usage: dict[str, float] | None = None,
        text: str | None = None,
        action: str | None = None,
    ) -> Answer:
        """What a use of a service would cost; changes nothing. Give its usage, such as {"tokens": 1200}, or
        the text of the prompt."""
        fields: Any = {"action": action} if action else {}
        estimate: Estimate = await _told(self._client.estimate(service, usage, text=text, **fields))
        return {
            "credits": amount(estimate.credits),
            "maximum": amount(estimate.maximum),
            "available": amount(estimate.available),
            "sufficient": estimate.sufficient,
            "approximate": estimate.approximate,
            "valid_until": estimate.valid_until.isoformat(),
        }

    async def request_budget(
        self,
        service: str,
        credits: str,
        minutes: int = 15,
        purpose: str | None = None,
        parent: str | None = None,
    ) -> Answer:
        """Set credits aside for a task: nothing else can spend them until the budget is settled or released,
        or its minutes (1 to 1440) are over. Credits as a string, such as "12.5". With `parent`, the budget of
        a larger task, they come from what remains of that budget; give each sub-agent one of its own."""
        fields: Any = {"metadata": {"purpose": purpose}} if purpose else {}
        call = self._client.open_hold(
            service, _credits(credits), expires_in=minutes * 60, parent=parent, **fields
        )
        return _budget(await _told(call))

    async def show_budget(self, budget: str) -> Answer:
        """The state of a budget (held, captured, released or expired), and what it and the budgets below it
        have spent, reserve, and have left."""
        return _budget(await _told(self._client.get_hold(budget)))

    async def settle_budget(self, budget: str, credits: str) -> Answer:
        """Pay what the task has cost from its budget; the rest returns to the balance."""
        charge = await _told(self._client.capture_hold(budget, credits=_credits(credits)))
        return {
            "charge": charge.id,
            "credits": amount(charge.credits),
            "uncollected": amount(charge.uncollected),
            "balance_after": amount(charge.balance_after),
        }

    async def release_budget(self, budget: str) -> Answer:
        """Return a budget of which nothing was spent."""
        return _budget(await _told(self._client.release_hold(budget)))

    async def spend_report(self, days: int = 7, group_by: str = "service") -> Answer:
        """What was spent in the last days, by service, project, conversation, member or api_key."""
        now = (await _told(self._client.balance())).as_of  # the portal's clock; this machine's may differ
        since = now - timedelta(days=days)
        report = await _told(self._client.usage_report(group_by=group_by, from_=since))
        groups = [
            {"group": one.group, "credits": amount(one.credits), "charges": one.charges}
            for one in report.data
        ]
        return {"total": amount(report.total.credits), "charges": report.total.charges, "groups": groups}


async def _told(answer: Awaitable[T]) -> T:
    """The answer. Raises ToolError with the sentence of a refusal, and what the account can do."""
    try:
        return await answer
    except ApiError as error:
        ways = "".join(f"\n- {way}" for way in error.problem.get("ways_on", []))
        raise ToolError(f"{error.code}: {error.detail}{ways and f' Ways on:{ways}'}") from error
    except RefillError as error:
        raise ToolError(str(error)) from error


def _credits(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise ToolError(f'{text!r} is not an amount of credits; send a string such as "12.5"') from error


def _budget(hold: Hold) -> Answer:
    return {
        "budget": hold.id,
        "status": hold.status,
        "service": hold.service,
        "credits": amount(hold.credits),
        "spent": amount(hold.spent),
        "reserved": amount(hold.reserved),
        "remaining": amount(hold.remaining),
        "expires_at": hold.expires_at.isoformat(),
        "charge": hold.charge,
        "parent": hold.parent,
        "children": [
            {"budget": one.id, "status": one.status, "spent": amount(one.spent)} for one in hold.children
        ],
    }


def main() -> None:
    """Serve over stdin and stdout."""
    missing = [name for name in ("REFILL_URL", "REFILL_KEY") if not os.environ.get(name)]
    if missing:
        sys.exit(f"refill-mcp needs the environment variables {' and '.join(missing)}")
    account = os.environ.get("REFILL_ACCOUNT") or None
    client = AsyncClient(os.environ["REFILL_URL"], os.environ["REFILL_KEY"], account=account)
    server(client).run("stdio")
