"""`manage.py demo_world`: create the demo world and write its credentials to var/demo.json."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from usage.demo import refused_calls
from usage.demo import world as demo


class Command(BaseCommand):
    help = "Create what is missing of the demo world, and write var/demo.json (sandbox only)."

    def handle(self, *args: Any, **options: Any) -> None:
        file = Path(settings.VAR_DIR) / "demo.json"
        previous = json.loads(file.read_text()) if file.exists() else {}
        keys = [previous[name] for name in ("account_key", "platform_key") if previous.get(name)]
        try:
            world = demo.build(now=timezone.now(), existing_keys=keys)
        except demo.SandboxRequired:
            raise CommandError(
                "The demo world requires the sandbox; this installation uses a real Stripe account."
            ) from None
        refused_calls.make(world, timezone.now())
        credentials = {
            "url": settings.SITE_URL,
            "email": demo.EMAIL,
            "password": demo.PASSWORD,
            "staff_email": demo.STAFF_EMAIL,
            "staff_password": demo.STAFF_PASSWORD,
            "account": world.account.public_id,
            "account_key": world.account_key,
            "platform_key": world.platform_key,
            "service": world.service,
            "usage": world.usage,
        }
        _write(file, json.dumps(credentials, indent=2) + "\n")
        if options["verbosity"]:
            charges = demo.charge_count(world.account)
            self.stdout.write(f"{demo.EMAIL} has {charges} charges. Credentials: {file}")


def _write(file: Path, text: str) -> None:
    """Replace the file atomically, readable by its owner only: the keys are valid in this installation."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)
