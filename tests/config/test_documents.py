"""What the documents say is there, is there; what is there, they say."""

import importlib
import re
from pathlib import Path

import pytest
from django.urls import reverse

BASE_DIR = Path(__file__).resolve().parents[2]


def text(name: str) -> str:
    return (BASE_DIR / name).read_text()


def chosen(name: str) -> set[str]:
    lines = text(name).splitlines()
    return {re.split(r"[\[<>=~]", line)[0] for line in lines if line and not line.startswith(("#", "-r"))}


def test_every_dependency_has_its_reason_and_no_reason_outlives_its_dependency() -> None:
    page = text("docs/dependencies.md").split("## Evaluated")[0]
    reasons = set(re.findall(r"^\| ([a-z][\w-]+) \| \S", page, re.MULTILINE)) - {"package"}
    assert reasons == chosen("requirements.in") | chosen("requirements-dev.in")


def test_the_runbook_names_every_variable_of_the_settings_and_no_other() -> None:
    read = set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', text("config/settings.py")))
    read |= set(re.findall(r"\$\{([A-Z_]+):-", text("Procfile")))
    table = text("docs/runbook.md").split("## Variables")[1].split("## Going live")[0]
    told = {
        name
        for row in re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert told == read


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/runbook.md", "docs/architecture.md", "docs/dependencies.md", "docs/testing.md"],
)
def test_what_a_page_links_to_exists(name: str) -> None:
    page = BASE_DIR / name
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_target_of_make_that_the_readme_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", text("Makefile"), re.MULTILINE))
    named = set(
        re.findall(r"(?:^|`)make ([a-z]+)", text("README.md") + text("docs/runbook.md"), re.MULTILINE)
    )
    assert len(named) >= 5 and named <= targets


def test_the_runbook_gives_the_webhooks_real_address() -> None:
    assert f"`https://HOST{reverse('stripe_webhook')}`" in text("docs/runbook.md")


def test_no_file_of_the_project_knows_the_machine_it_was_written_on() -> None:
    ours = [path for pattern in ("*.py", "*.md", "*.toml", "*.html") for path in BASE_DIR.rglob(pattern)]
    strangers = ("/wo" + "rk/", "../sha" + "red")
    for path in ours:
        if not {".venv", "var", "node_modules"} & set(path.relative_to(BASE_DIR).parts):
            assert not any(stranger in path.read_text() for stranger in strangers), path


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
