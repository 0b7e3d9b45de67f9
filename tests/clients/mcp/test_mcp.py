"""`refill-mcp`, installed from the wheel with its extra: an agent works with its balance and a budget."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from refill_client import Client as Refill
from refill_client.mcp import server
from refill_client.testing import FakePortal

from tests import event_loop
from tests.clients.packages import python_environment

SERVICE = "document-question"  # one credit for each use
SCRIPT = """
from importlib.metadata import entry_points
(script,) = entry_points(group="console_scripts", name="refill-mcp")
script.load()()
"""


@pytest.mark.django_db(transaction=True)
def test_an_agent_sees_its_balance_estimates_asks_for_a_budget_and_reports(
    tmp_path: Path, portal: str, platform_key: str
) -> None:
    with Refill(portal, platform_key) as refill:
        refill.create_account(external_id="agent")
        refill.give_credits("agent", 20)
    program = python_environment(tmp_path / "env", extra="mcp")
    command = StdioServerParameters(
        command=str(program),
        args=["-I", "-c", SCRIPT],
        env={"REFILL_URL": portal, "REFILL_KEY": platform_key, "REFILL_ACCOUNT": "agent"},
    )

    async def work() -> None:
        async with Client(command) as agent:

            async def call(tool: str, **arguments: Any) -> Any:
                result = await agent.call_tool(tool, arguments)
                text = "".join(getattr(part, "text", "") for part in result.content)
                return text if result.is_error else result.structured_content

            tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
            assert set(tools) == {
                "balance",
                "estimate",
                "request_budget",
                "show_budget",
                "settle_budget",
                "release_budget",
                "spend_report",
            }
            assert all(tool.description for tool in tools.values())
            available = Decimal((await call("balance"))["available"])
            assert available >= 20
            estimate = await call("estimate", service=SERVICE, usage={"uses": 7})
            assert estimate["credits"] == "7" and estimate["sufficient"] is True
            budget = await call("request_budget", service=SERVICE, credits="12.5", purpose="research")
            assert budget["status"] == "held"
            assert Decimal((await call("balance"))["available"]) == available - Decimal("12.5")
            charge = await call("settle_budget", budget=budget["budget"], credits="5")
            assert charge["credits"] == "5" and charge["uncollected"] == "0"
            shown = await call("show_budget", budget=budget["budget"])
            assert shown["status"] == "captured" and shown["charge"] == charge["charge"]
            assert "hold_closed" in await call("release_budget", budget=budget["budget"])
            other = await call("request_budget", service=SERVICE, credits="1", minutes=5)
            part = await call("request_budget", service=SERVICE, credits="0.25", parent=other["budget"])
            assert "children_open" in await call("release_budget", budget=other["budget"])
            await call("settle_budget", budget=part["budget"], credits="0.25")
            shown = await call("show_budget", budget=other["budget"])
            assert (shown["spent"], shown["remaining"], len(shown["children"])) == ("0.25", "0.75", 1)
            assert "budget_exceeded" in await call(
                "request_budget", service=SERVICE, credits="1", parent=other["budget"]
            )
            assert (await call("release_budget", budget=other["budget"]))["status"] == "released"
            refused = await call("request_budget", service=SERVICE, credits="100000")
            assert "insufficient_credits" in refused and "Ways on" in refused and "buy" in refused
            assert "not an amount" in await call("request_budget", service=SERVICE, credits="many")
            report = await call("spend_report", days=2)
            assert report["total"] == "5.25" and report["groups"][0]["group"] == SERVICE

    event_loop.run(work())


def test_an_error_of_the_connection_is_the_error_of_the_tool() -> None:
    memory = FakePortal({SERVICE: {"uses": "1"}})
    memory.give("agent", 5)
    memory.fail_next(*[503] * 5)

    async def work() -> None:
        async with Client(server(memory.async_client("agent"))) as agent:
            failed = await agent.call_tool("balance", {})
            assert failed.is_error
            answered = await agent.call_tool("balance", {})
            assert answered.structured_content and answered.structured_content["available"] == "5"

    event_loop.run(work())
