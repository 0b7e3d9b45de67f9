"""`manage.py demo_world`: make the demo world and write down how to look at it, in var/demo.json."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from usage.demo import world as demo


class Command(BaseCommand):
    help = "Make the demo world where it is missing, and write var/demo.json (sandbox only)."

    def handle(self, *args: Any, **options: Any) -> None:
        file = Path(settings.VAR_DIR) / "demo.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        keys = [known[name] for name in ("account_key", "platform_key") if known.get(name)]
        try:
            world = demo.build(now=timezone.now(), known_keys=keys)
        except demo.NoDemoHere:
            raise CommandError("The demo world belongs to the sandbox, and here is a real Stripe.") from None
        told = {
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
        _write(file, json.dumps(told, indent=2) + "\n")
        if options["verbosity"]:
            self.stdout.write(f"{demo.charged(world.account)} charges of {demo.EMAIL}; how to look: {file}")


def _write(file: Path, text: str) -> None:
    """All or nothing, and for this user's eyes: the keys are real keys of this installation."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)
