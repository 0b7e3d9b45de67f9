"""Clients that generators make from the OpenAPI document pass strict type checks and work with a portal."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from clients import build
from tests import openapi
from tests.clients.packages import run

HERE = Path(__file__).parent
SETTINGS = {
    "literal_enums": True,
    "post_hooks": [],
    "package_name_override": "portal_client",
    "content_type_overrides": {"application/pdf": "application/octet-stream"},  # docs/api.md
}
needs_generator = pytest.mark.skipif(
    not (HERE / "node_modules/openapi-typescript").exists(),
    reason="openapi-typescript is not installed; `make typescript` installs it",
)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    (tmp_path / "openapi.json").write_text(json.dumps(openapi.document()))
    return tmp_path / "openapi.json"


@pytest.mark.django_db(transaction=True)
def test_a_generated_python_client_is_typed_and_works(
    tmp_path: Path, document: Path, portal: str, platform_key: str
) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document]
    options = ["--meta", "none", "--config", "settings.json", "--output-path", "portal_client"]
    run([*generator, *options, "--fail-on-warning"], tmp_path)
    shutil.copy(HERE / "python_program.py", tmp_path / "program.py")

    cache = os.environ.get("MYPY_CACHE_DIR", str(Path(".mypy_cache").resolve()))
    strict = ["--strict", "--config-file", os.devnull, "--cache-dir", cache]
    run([sys.executable, "-m", "mypy", *strict, "program.py", "portal_client"], tmp_path)
    output = run([sys.executable, "program.py", portal, platform_key], tmp_path)
    assert output.split()[-1] == "104"  # with the free plan's 100


@needs_generator
@pytest.mark.django_db(transaction=True)
def test_generated_typescript_types_are_strict_and_describe_the_answers(
    tmp_path: Path, document: Path, portal: str, platform_key: str
) -> None:
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(HERE / "typescript_program.ts", tmp_path / "program.ts")
    run([build.NODE, "node_modules/openapi-typescript/bin/cli.js", document, "-o", "api.d.ts"], tmp_path)

    strict = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"]
    target = ["--module", "nodenext", "--target", "es2022", "--types", "node"]
    run([build.NODE, "node_modules/typescript/bin/tsc", *strict, *target, "program.ts"], tmp_path)
    output = run([build.NODE, "program.js", portal, platform_key], tmp_path)
    assert output.split()[-1] == "105"
