"""`make screenshots`: makes the pictures of the README anew, from the demo of each catalogue.

Each portal starts with a data directory of its own, which is removed afterwards. The pictures are WebP,
which is a third of the size of PNG. `python -m docs.screenshots refly flowly` makes a part.
"""

import io
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.integration.journeys import chromium

TOP = Path(__file__).resolve().parents[1]
IMAGES = TOP / "docs" / "images"
PORT = int(os.environ.get("PORT") or 8190)
SITE = f"http://127.0.0.1:{PORT}"
EMAIL, PASSWORD = "ada@example.com", "countess-of-lovelace"  # the demo's, which `make run` prints
READY_SECONDS = 180.0
LARGEST_BYTES = 150_000
WIDTH, HEIGHT = 1280, 860

# Catalogue: name of the picture, path, colours.
PICTURES: dict[str, list[tuple[str, str, Literal["light", "dark"]]]] = {
    "refly": [
        ("dashboard", "/", "light"),
        ("dashboard-dark", "/", "dark"),
        ("refly", "/usage/plans/", "light"),
    ],
    "codeflicker": [("codeflicker", "/", "dark")],
    "apinfer": [("apinfer", "/usage/", "light")],
    "flowly": [("flowly", "/usage/forecast/", "light")],
    "recraft": [("recraft", "/plans/", "light")],
}


def main() -> None:
    path = chromium.find() or sys.exit(chromium.MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        for catalogue in sys.argv[1:] or PICTURES:
            with _portal(catalogue):
                for name, page_path, colours in PICTURES[catalogue]:
                    picture = _picture(browser, page_path, colours)
                    (IMAGES / f"{name}.webp").write_bytes(_compressed(picture))
        browser.close()


@contextmanager
def _portal(catalogue: str) -> Iterator[None]:
    """A running portal with the demo of the catalogue."""
    with tempfile.TemporaryDirectory(prefix="refill-screenshots-") as data:
        environment = os.environ | {"CATALOGUE": catalogue, "PORT": str(PORT), "REFILL_VAR": data}
        command = [sys.executable, "-m", "config.supervisor"]
        server = subprocess.Popen(command, cwd=TOP, env=environment, stdout=subprocess.DEVNULL)
        try:
            _wait_for_demo(server, Path(data) / "demo.json")
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def _wait_for_demo(server: "subprocess.Popen[bytes]", demo: Path) -> None:
    until = monotonic() + READY_SECONDS
    while monotonic() < until and server.poll() is None:
        if demo.exists() and _answers():
            return
        sleep(0.5)
    raise SystemExit(f"The portal did not start at {SITE}.")


def _answers() -> bool:
    try:
        with urllib.request.urlopen(f"{SITE}/healthz", timeout=5) as response:  # noqa: S310, the address is above
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError):
        return False


def _picture(browser: Browser, path: str, colours: Literal["light", "dark"]) -> bytes:
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT},
        device_scale_factor=1.5,
        color_scheme=colours,
        locale="en-GB",
        reduced_motion="reduce",
    )
    page: Page = context.new_page()
    page.goto(f"{SITE}/accounts/login/")
    page.fill("input[name=login]", EMAIL)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{SITE}/")
    page.goto(f"{SITE}{path}")
    page.mouse.move(0, 0)
    picture = page.screenshot()
    context.close()
    return picture


def _compressed(picture: bytes) -> bytes:
    """The picture as WebP of at most LARGEST_BYTES."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for quality in (88, 80, 70, 60, 50):
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= LARGEST_BYTES:
            return file.getvalue()
    raise SystemExit(f"A picture is larger than {LARGEST_BYTES} bytes.")


if __name__ == "__main__":
    main()
