"""`manage.py import_litellm_prices FILE --credit-usd 0.002 --margin 0.25`: a draft from LiteLLM's map."""

import json
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from pricing.catalogue import litellm_import

SHOWN = 40


class Command(BaseCommand):
    help = "Read LiteLLM's price map into a draft rate card. No price changes before staff publish it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", help="model_prices_and_context_window_backup.json of the package litellm."
        )
        parser.add_argument(
            "--credit-usd", required=True, help="What one credit is worth in US dollars, e.g. 0.002."
        )
        parser.add_argument(
            "--margin", default="0", help="Share of the cost that is added: 0.25 is a quarter."
        )
        parser.add_argument(
            "--only", action="append", default=[], help="Only models like this (claude-*); repeatable."
        )
        parser.add_argument(
            "--match",
            action="append",
            default=[],
            metavar="SERVICE=MODEL",
            help="This service of ours is that model of the map; repeatable.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        credit_usd = self._number(options["credit_usd"], "--credit-usd")
        margin = self._number(options["margin"], "--margin")
        if credit_usd <= 0 or margin <= -1:
            raise CommandError("--credit-usd must be above 0 and --margin above -1.")
        path = Path(options["file"])
        try:
            prices = json.loads(path.read_text(), parse_float=Decimal)
        except (OSError, ValueError) as error:
            raise CommandError(f"{path} cannot be read as a price map: {error}") from error
        if not isinstance(prices, dict):
            raise CommandError(f"{path} is no price map: a JSON object of models is expected.")
        matches = dict(self._match(text) for text in options["match"])
        if options["only"]:
            wanted = [*options["only"], *matches.values()]
            prices = {
                name: entry
                for name, entry in prices.items()
                if any(fnmatchcase(name, like) for like in wanted)
            }
        now = timezone.now()
        imported = litellm_import.import_litellm(
            prices,
            credit_usd=credit_usd,
            margin=margin,
            matches=matches,
            source=f"import:{path.name}"[:200],
            effective_at=now,
            now=now,
        )
        card, repriced, added = imported.card.version, imported.repriced, imported.added
        self.stdout.write(f"Draft card {card}: {repriced} services repriced, {added} new ones.")
        self.stdout.write(f"{len(imported.left_out)} could not be mapped (the card lists all of them):")
        for reason in imported.left_out[:SHOWN]:
            self.stdout.write(f"  {reason}")
        if len(imported.left_out) > SHOWN:
            self.stdout.write(f"  … and {len(imported.left_out) - SHOWN} more")
        self.stdout.write("Nothing has changed yet: simulate its prices in the admin, then publish it.")

    def _number(self, text: str, name: str) -> Decimal:
        try:
            number = Decimal(text)
        except InvalidOperation as error:
            raise CommandError(f"{name}: {text!r} is no number; write it like 0.25.") from error
        if not number.is_finite():
            raise CommandError(f"{name}: {text!r} is no number; write it like 0.25.")
        return number

    def _match(self, text: str) -> tuple[str, str]:
        service, separator, model = text.partition("=")
        if not separator:
            raise CommandError(f"--match: {text!r} should read SERVICE=MODEL.")
        return service, model
