"""`manage.py rotate_keys`: encrypt all stored secrets with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import key_rotation


class Command(BaseCommand):
    """See docs/runbook.md, Keys and their rotation."""

    help = "Encrypt provider keys, webhook secrets and second factors with the newest of ENCRYPTION_KEYS."

    def handle(self, *_args: Any, **_options: Any) -> None:
        done = key_rotation.rotate()
        for kind, number in done.renewed.items():
            self.stdout.write(f"{kind}: {number} encrypted again")
        if done.unreadable:
            raise CommandError(
                "No key of the settings reads these. Add their key to the end of ENCRYPTION_KEYS and run this"
                " again, or remove them:\n  " + "\n  ".join(done.unreadable)
            )
        self.stdout.write("Every secret is encrypted with the newest key: older ones are no longer needed.")
