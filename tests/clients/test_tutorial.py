"""The tutorial as one session: every command and program runs, with the outputs that the page shows."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clients import build
from tests.clients.packages import link_requirements, needs_compiler

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tutorial.md").read_text()
BLOCK = re.compile(r"([^\n]*)\n```(\w+)\n(.*?)```", re.DOTALL)
# The portal runs already; the packages are built into the directory of the session.
MAKE = """#!/bin/sh
case "$1" in
  run) ;;
  clients) exec "{python}" "{build}" clients/dist ;;
  *) echo "unknown target $1" >&2; exit 1 ;;
esac
"""
# An environment gets its pip from this one: installing pip takes longer than all the rest.
PYTHON = """#!/bin/sh
if [ "$1 $2" != "-m venv" ]; then exec "{python}" "$@"; fi
"{python}" -m venv --without-pip "$3"
printf '#!/bin/sh\nexec "{python}" -m pip --python "%s" "$@"\n' "$PWD/$3/bin/python" > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""


def session() -> tuple[str, list[str]]:
    """The page as one script of the shell, and the lines of output that it shows."""
    script, shown = ["set -e"], []
    for sentence, language, text in BLOCK.findall(PAGE):
        if language == "sh":
            script.append(text)
        elif language == "text":
            shown += text.splitlines()
        else:
            (file,) = re.findall(r"ave (?:it|this) as `([\w.]+)`:$", sentence)
            script.append(f"cat > {file} <<'PROGRAM'\n{text}PROGRAM\n")
    return "\n".join(script), shown


@needs_compiler
@pytest.mark.django_db(transaction=True)
def test_every_command_and_program_of_the_tutorial_runs(
    tmp_path: Path, portal: str, platform_key: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    programs = {
        "make": MAKE.format(python=sys.executable, build=build.CLIENTS / "build.py"),
        "python3": PYTHON.format(python=sys.executable),
        "node": f'#!/bin/sh\nexec "{build.NODE}" "$@"\n',
        "npm": f'#!/bin/sh\nexec "{build.NODE}" "{build.NPM}" "$@"\n',
    }
    for name, text in programs.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/demo.json").write_text(json.dumps({"url": portal, "platform_key": platform_key}))
    link_requirements(["httpx"], tmp_path / "site")
    script, shown = session()
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(tmp_path / "site"),
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "npm_config_offline": "true",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in shown:
        assert line in done.stdout, (line, done.stdout, done.stderr)
    charges = re.findall(r'"id": ?"(chg_\w+)"', done.stdout)
    assert len(charges) == 2 and len(set(charges)) == 1


def test_the_tutorial_uses_commands_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)$", PAGE, re.MULTILINE)) == {"run", "clients"} <= targets
