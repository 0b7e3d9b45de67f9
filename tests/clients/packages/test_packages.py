"""Both clients, used from their packages in fresh environments, and the checks of the TypeScript client."""

import json
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import Account
from accounts.webhook_endpoints import deliveries, endpoints
from accounts.webhook_endpoints.sender import Sender
from clients import build
from tests.accounts.webhook_endpoints import receivers
from tests.clients.packages import needs_compiler, node_environment, python_environment, run

PYTHON_PROGRAM = """
import importlib.util, sys
from importlib.metadata import version
from pathlib import Path
import refill_client
from refill_client import Client
assert (Path(refill_client.__file__).parent / "py.typed").exists()
assert importlib.util.find_spec("django") is None
with Client(sys.argv[1], sys.argv[2], account="packaged") as client:
    client.create_account(external_id="packaged")
    client.give_credits("packaged", 5)
    with client.hold("document-question", 3) as hold:
        charge = hold.capture({"uses": 2})
    print(version("refill-client"), charge.credits)
"""
NODE_PROGRAM = """
import { Client } from "refill-client";
import { refillMiddleware } from "refill-client/ai-sdk";
import { FakePortal } from "refill-client/testing";
const client = new Client(process.argv[2], process.argv[3], { account: "packed" });
await client.createAccount({ external_id: "packed" });
await client.giveCredits("packed", 5);
const charge = await client.hold("document-question", 3, (hold) => hold.capture({ uses: 2 }));
console.log(charge.credits, typeof refillMiddleware, typeof FakePortal);
"""


@pytest.mark.django_db(transaction=True)
def test_the_python_package_runs_in_a_fresh_environment(
    tmp_path: Path, portal: str, platform_key: str
) -> None:
    python = python_environment(tmp_path / "env")
    (tmp_path / "program.py").write_text(PYTHON_PROGRAM)
    output = run([python, "-I", "program.py", portal, platform_key], tmp_path)
    assert output.split() == ["0.1.0", "2"]


@needs_compiler
@pytest.mark.django_db(transaction=True)
def test_the_typescript_package_runs_in_a_fresh_environment(
    tmp_path: Path, portal: str, platform_key: str
) -> None:
    directory = node_environment(tmp_path)
    (directory / "program.js").write_text(NODE_PROGRAM)
    output = run([build.NODE, "program.js", portal, platform_key], directory)
    assert output.split() == ["2", "function", "function"]


@needs_compiler
def test_the_typescript_client_and_its_tests_pass_the_strict_type_check() -> None:
    run([build.NODE, "node_modules/typescript/bin/tsc", "--noEmit"], build.TYPESCRIPT)


def test_the_typescript_client_passes_its_own_tests() -> None:
    run([build.NODE, "--test", "test/client.test.ts"], build.TYPESCRIPT)


@pytest.mark.django_db(transaction=True)
def test_the_typescript_client_works_with_a_running_portal(portal: str, platform_key: str) -> None:
    output = run(
        [build.NODE, "--test", "--test-reporter=tap", "test/portal.test.ts"],
        build.TYPESCRIPT,
        REFILL_URL=portal,
        REFILL_KEY=platform_key,
    )
    assert "# pass 5" in output, output


VERIFY = """
import { verifyWebhook } from "./src/index.ts";
const { body, headers, secrets } = JSON.parse(process.env.DELIVERY);
const now = Number(headers["webhook-timestamp"]);  // the suite sets its own clock
for (const secret of secrets) console.log((await verifyWebhook(body, headers, secret, { now })).type);
"""


@pytest.mark.django_db(transaction=True)
def test_the_typescript_client_verifies_a_delivery() -> None:
    """During a rotation: with the new secret and with the old one."""
    account = Account.objects.create(name="Alice")
    with receivers.http_receiver() as receiver:
        first = endpoints.create(
            account=account,
            url=receiver.url,
            events=["member.added"],
            description="Grüße",
            now=timezone.now(),
        )
        second = endpoints.rotate_secret(first.endpoint, timezone.now())
        deliveries.send_test(first.endpoint, timezone.now())
        sender = Sender()
        sender.run(0.1)
        sender.drain(20)
    [got] = receiver.received
    secrets = [first.secret, second.secret]
    delivery = json.dumps({"body": got.body.decode(), "headers": got.headers, "secrets": secrets})
    output = run([build.NODE, "--input-type=module", "-e", VERIFY], build.TYPESCRIPT, DELIVERY=delivery)
    assert output.split() == ["endpoint.test"] * 2


def test_both_packages_have_the_same_version_and_no_other_dependency() -> None:
    package = json.loads((build.TYPESCRIPT / "package.json").read_text())
    assert "dependencies" not in package
    assert f'version = "{package["version"]}"' in (build.CLIENTS / "python/pyproject.toml").read_text()
