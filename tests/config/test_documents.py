"""Documents are complete and correct: dependencies, variables, links, make targets and paths exist."""

import importlib
import importlib.util
import re
from pathlib import Path

from django.urls import reverse

from billing.webhooks import handlers
from config import variables
from tests.some import some

BASE_DIR = Path(__file__).resolve().parents[2]


def text(name: str) -> str:
    return (BASE_DIR / name).read_text()


def packages(name: str) -> set[str]:
    lines = text(name).splitlines()
    return {re.split(r"[\[<>=~]", line)[0] for line in lines if line and not line.startswith(("#", "-r"))}


def test_every_dependency_has_a_reason_and_every_reason_has_a_dependency() -> None:
    page = text("docs/dependencies.md").split("## Evaluated")[0]
    reasons = set(re.findall(r"^\| ([a-z][\w-]+) \| \S", page, re.MULTILINE)) - {"package"}
    assert reasons == packages("requirements.in") | packages("requirements-dev.in")


def test_the_runbook_documents_exactly_the_variables_of_the_settings() -> None:
    read = set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', text("config/settings.py")))
    read |= set(re.findall(r'"((?:SOCIAL|GOOGLE|GITHUB|OIDC)_[A-Z_]+)"', text("config/social_login.py")))
    read |= set(re.findall(r"\$\{([A-Z_]+):-", text("Procfile"))) | {"RUNTIME_ROLE"}
    assert '"RUNTIME_ROLE"' in text("config/prepare.py")
    table = text("docs/runbook.md").split("## Variables")[1].split("## Going live")[0]
    documented = {
        name
        for row in re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert documented == read == variables.KNOWN


def test_links_of_pages_exist() -> None:
    for name, target in named_in_pages(r"\]\(([^)#\s]+)\)"):
        page = BASE_DIR / name
        assert target.startswith("https://") or (page.parent / target).exists(), (name, target)


def test_every_make_target_in_the_readme_and_the_runbook_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", text("Makefile"), re.MULTILINE))
    named = set(
        re.findall(r"(?:^|`)make ([a-z]+)", text("README.md") + text("docs/runbook.md"), re.MULTILINE)
    )
    assert len(named) >= 5 and named <= targets


def test_the_runbook_contains_the_address_of_the_webhook() -> None:
    assert f"`https://HOST{reverse('stripe_webhook')}`" in text("docs/runbook.md")


def test_no_file_contains_paths_of_the_development_machine() -> None:
    files = [path for pattern in ("*.py", "*.md", "*.toml", "*.html") for path in BASE_DIR.rglob(pattern)]
    machine_paths = ("/wo" + "rk/", "../sha" + "red")
    for path in some(files):
        if not {".venv", "var", "node_modules"} & set(path.relative_to(BASE_DIR).parts):
            assert not any(part in path.read_text() for part in machine_paths), path


def test_every_module_and_function_that_the_architecture_names_exists() -> None:
    page = text("docs/architecture.md")
    for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|sql))`", page):
        assert (BASE_DIR / path).exists(), path
    apps = "accounts|billing|config|core|pricing|usage"
    names = re.findall(rf"`((?:{apps})(?:\.\w+)+)`", page)
    assert len(names) > 25
    for name in names:
        module, attribute = name.rsplit(".", 1)
        assert hasattr(importlib.import_module(module), attribute), name


# Repetitions of other events: `refund.updated` and `invoice.paid`.
REPEATED_EVENTS = {"charge.refund.updated", "invoice.payment_succeeded"}


def test_the_webhooks_events_in_the_documentation_are_those_that_have_a_handler() -> None:
    """A name that begins with a dot replaces the last word of the name before it."""
    listed = text("docs/stripe.md").split("and these events:")[1].split("Set its signing secret")[0]
    documented: set[str] = set()
    prefix = ""
    for name in re.findall(r"`([\w.]+)`", listed):
        prefix = prefix if name.startswith(".") else name.rpartition(".")[0]
        documented.add(prefix + name if name.startswith(".") else name)
    assert {name for name in documented if handlers.handler_of(name) is None} == set()
    assert documented == set(handlers._HANDLERS) - REPEATED_EVENTS


def test_the_restricted_key_in_the_documentation_has_the_permissions_of_every_request() -> None:
    names = {
        "accounts": "",  # not needed with STRIPE_ACCOUNT
        "billing_portal": "Customer portal",
        "charges": "Charges",
        "checkout": "Checkout Sessions",
        "invoice_payments": "Invoices",
        "payment_intents": "PaymentIntents",
        "payment_methods": "PaymentMethods",
        "setup_intents": "SetupIntents",
    }
    key = " ".join(
        text("docs/stripe.md").split("write access to")[1].split("Set `STRIPE_SECRET_KEY`")[0].split()
    )
    writable, readable = key.split("read access to")
    requests = {
        found
        for path in (BASE_DIR / "billing/stripe_gateway").glob("*.py")
        for found in re.findall(r"\bv1\.(\w+)\.(?:sessions\.)?(\w+)\(", path.read_text())
    }
    assert len(requests) > 25
    for resource, action in requests:
        name = names.get(resource, resource.capitalize())
        reads = action in {"list", "retrieve", "retrieve_current", "search"}
        assert name in (writable + readable if reads else writable), (resource, action)


PAGES = ["README.md", *sorted(str(page.relative_to(BASE_DIR)) for page in BASE_DIR.glob("docs/**/*.md"))]


def named_in_pages(pattern: str) -> list[tuple[str, str]]:
    """Each page with each text of the pattern's group in it, at least one."""
    return some((name, found) for name in PAGES for found in re.findall(pattern, text(name)))


def test_every_path_in_a_page_exists() -> None:
    packages = "|".join(
        ("accounts", "bench", "billing", "config", "core", "docs", "pricing", "sandbox", "tests", "usage")
    )
    for page, path in named_in_pages(rf"`((?:{packages})/[\w./-]*)`"):
        assert (BASE_DIR / path).exists(), (page, path)


def test_every_dotted_name_in_a_page_exists() -> None:
    apps = "accounts|billing|config|core|pricing|sandbox|usage"
    for page, dotted in named_in_pages(rf"`((?:{apps})(?:\.\w+)+)[`(]"):
        module, attribute = dotted.rsplit(".", 1)
        parent = importlib.import_module(module)
        assert hasattr(parent, attribute) or importlib.util.find_spec(dotted), (page, dotted)
