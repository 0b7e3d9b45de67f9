"""`manage.py issue_platform_key`: the key of the product's backend, without the admin."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey


class Command(BaseCommand):
    help = "Issue a platform key and print it once. It is stored as a hash only."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--name", required=True, help="what it is for, such as “backend”")
        parser.add_argument(
            "--scope",
            action="append",
            choices=ApiKey.Scope.values,
            dest="scopes",
            help="may be repeated; default: all",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        name = options["name"].strip()
        if not 1 <= len(name) <= 100:
            raise CommandError("--name has 1 to 100 characters.")
        scopes = options["scopes"] or list(ApiKey.Scope.values)
        issued = api_keys.issue(kind="platform", name=name, scopes=scopes, now=timezone.now())
        self.stderr.write(f"Platform key “{name}” with the scopes {', '.join(scopes)}; it is shown only now:")
        self.stdout.write(issued.secret)
