"""The browser of the journeys: CHROMIUM, else one on the PATH, else apt's (as root), else Playwright's own.

`python -m tests.integration.journeys.chromium` finds or installs one and says which; `find` only looks.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = (
    "The journeys need Chromium, and there is none: CHROMIUM is not set, none of "
    f"{', '.join(NAMES)} is on the PATH, and none could be installed. "
    "Install one (on Debian: apt-get install chromium), or name one: CHROMIUM=/path/to/chromium make test"
)


def find() -> str | None:
    """The browser's path, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        if not os.access(named, os.X_OK):
            sys.exit(f"CHROMIUM names {named}, which is no program that can be run.")
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None) or _playwrights_own()


def install() -> str | None:
    """Install a browser where that is possible; returns its path, or None."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Chromium with apt …", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(
                ["apt-get", "-qq", *command], env=environment, check=False, stdout=subprocess.DEVNULL
            )
        if found := find():
            return found
    print("Installing Playwright's Chromium …", flush=True)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False, timeout=600)
    return find()


def _playwrights_own() -> str | None:
    home = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    mac = Path.home() / "Library" / "Caches" / "ms-playwright"
    patterns = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")
    found = [path for root in (home, mac) for pattern in patterns for path in root.glob(pattern)]
    return str(max(found)) if found else None


if __name__ == "__main__":
    browser = find() or install()
    if not browser:
        sys.exit(MISSING)
    print(f"Browser of the journeys: {browser}")
