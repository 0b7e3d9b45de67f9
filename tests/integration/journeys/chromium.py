"""The browser of the browser tests: CHROMIUM, one on the PATH, apt's (as root), or Playwright's.

`python -m tests.integration.journeys.chromium` finds or installs a browser and prints its path.
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
    "The browser tests need Chromium, which was not found: CHROMIUM is not set, none of "
    f"{', '.join(NAMES)} is on the PATH, and the installation failed. "
    "Install it (on Debian: apt-get install chromium), or set its path: CHROMIUM=/path/to/chromium make test"
)


def find() -> str | None:
    """The browser's path, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        if not os.access(named, os.X_OK):
            sys.exit(f"CHROMIUM is {named}, which is not an executable file.")
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None) or _playwrights_own()


def install() -> str | None:
    """Install a browser if possible; returns its path, or None."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Chromium with apt …", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(
                ["apt-get", "-qq", *command], env=environment, check=False, stdout=subprocess.DEVNULL
            )
        if path := find():
            return path
    print("Installing Playwright's Chromium …", flush=True)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False, timeout=600)
    return find()


def _playwrights_own() -> str | None:
    home = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    mac = Path.home() / "Library" / "Caches" / "ms-playwright"
    patterns = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")
    paths = [path for root in (home, mac) for pattern in patterns for path in root.glob(pattern)]
    return str(max(paths)) if paths else None


if __name__ == "__main__":
    browser = find() or install()
    if not browser:
        sys.exit(MISSING)
    print(f"Browser of the tests: {browser}")
