"""The files in deploy/: they start exactly the processes of the Procfile, with variables that exist."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

BASE_DIR = Path(__file__).resolve().parents[2]
DEPLOY = BASE_DIR / "deploy"
CHART = DEPLOY / "helm"
# The lines of the Procfile by name.
PROCFILE = dict(
    line.split(": ", 1) for line in (BASE_DIR / "Procfile").read_text().splitlines() if ": " in line
)


def test_compose_runs_every_process() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    services = set(
        re.findall(r"^  ([a-z]+):", text.partition("\nservices:")[2].partition("\nvolumes:")[0], re.M)
    )
    assert services - {"database", "redis"} == set(PROCFILE)
    assert set(re.findall(r"command: ([a-z]+)\b(?! -|-)", text)) >= set(PROCFILE)


def test_systemd_names_every_process() -> None:
    unit = (DEPLOY / "systemd/refill@.service").read_text()
    assert set(re.findall(r"refill@([a-z]+)", unit)) == set(PROCFILE) - {"release"}


def test_the_chart_runs_every_process_with_variables_and_values_that_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values["processes"]) == set(PROCFILE) - {"release"}
    assert "args: [release]" in (CHART / "templates/release.yaml").read_text()
    documented = set(re.findall(r"`([A-Z_]+)`", (BASE_DIR / "docs/runbook.md").read_text()))
    secrets = set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)\b", (CHART / "values.yaml").read_text()))
    assert len(secrets) > 12 and secrets | set(values["env"]) <= documented
    named = {name for file in CHART.glob("templates/*") for name in _values_in(file.read_text())}
    assert len(named) > 8 and {name.split(".")[0] for name in named} == set(values)
    for name in named:
        part = values
        for key in name.split("."):
            part = part[key]


def _values_in(text: str) -> list[str]:
    return re.findall(r"\.Values\.([\w.]+)", text)


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
def test_helm_accepts_the_chart() -> None:
    lint = subprocess.run(
        ["helm", "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout


def test_the_example_of_the_environment_has_variables_that_exist() -> None:
    documented = set(re.findall(r"`([A-Z_]+)`", (BASE_DIR / "docs/runbook.md").read_text()))
    named = set(re.findall(r"^#? ?([A-Z_]+)=", (DEPLOY / ".env.example").read_text(), re.M))
    assert len(named) > 12 and named - {"POSTGRES_PASSWORD"} <= documented


@pytest.mark.parametrize("name", ["web", "none"])
def test_a_process_replaces_the_shell_that_starts_it(name: str, tmp_path: Path) -> None:
    """It gets the signals itself; variables of the line are those of the environment."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(DEPLOY / "process", tmp_path / "deploy")
    line = 'web: python3 -c "import os; print(os.getpid(), ${NUMBER:-2})"\n'
    (tmp_path / "Procfile").write_text(line)
    environ = {"PATH": os.environ["PATH"], "NUMBER": "7"}
    command = [str(tmp_path / "deploy/process"), name]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        output, error = process.communicate(timeout=120)
    if name == "web":
        assert output.split() == [str(process.pid).encode(), b"7"]
    else:
        assert process.returncode == 64 and "no process “none”" in error.decode()


def test_the_dashboard_can_be_imported() -> None:
    panels = json.loads((DEPLOY / "grafana/refill.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 10


def another_user(python: str) -> dict[str, str]:
    """nobody, where we are root and the interpreter is not in a directory of root's own."""
    if os.geteuid() != 0:
        return {}
    try:
        subprocess.run([python, "-c", ""], user="nobody", check=True, capture_output=True)
    except (PermissionError, subprocess.CalledProcessError):
        return {}
    return {"user": "nobody"}


def test_the_steps_of_the_dockerfile_work_as_a_user_who_owns_nothing() -> None:
    """Without a container runtime: its last steps run in a fresh copy of the tree, as nobody if possible."""
    steps = re.findall(r"^RUN DATABASE_URL=(\S+) (python .*)$", (DEPLOY / "Dockerfile").read_text(), re.M)
    [(url, command)] = steps
    with tempfile.TemporaryDirectory(prefix="refill-image-") as directory:
        image, var = Path(directory) / "srv", Path(directory) / "var"
        Path(directory).chmod(0o755)
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=BASE_DIR, capture_output=True, check=True,
        ).stdout.decode().split("\0")  # fmt: skip
        for file in filter(None, files):
            if not file.startswith(("tests/", "clients/", "docs/")) and (BASE_DIR / file).exists():
                (image / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(BASE_DIR / file, image / file)
        var.mkdir()
        var.chmod(0o777)
        environ = {"PATH": os.environ["PATH"], "REFILL_VAR": str(var), "DATABASE_URL": url}
        environ |= {"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(var)}
        python = sys.executable
        done = subprocess.run(
            [python, *command.split()[1:]],
            cwd=image, env=environ, capture_output=True, text=True, check=False, **another_user(python),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (var / "static/staticfiles.json").exists()
