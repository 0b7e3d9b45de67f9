"""`manage.py load_catalogue [NAME|PATH]`: load a catalogue into the database."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from pricing.catalogue import loading
from pricing.catalogue.file import CatalogueInvalid


class Command(BaseCommand):
    help = "Load a catalogue: services, rates, plans, packs, policies, wording. Again: changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "catalogue",
            nargs="?",
            default=settings.CATALOGUE,
            help="A name in pricing/catalogues/ or the path of a .toml file; else the CATALOGUE setting.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            loaded = loading.load(options["catalogue"], now=timezone.now())
        except CatalogueInvalid as error:
            raise CommandError(f"Nothing was loaded.\n{error}") from error
        if not loaded.changed:
            self.stdout.write(f"{loaded.key}: already loaded, nothing has changed.")
        elif loaded.cards:
            self.stdout.write(f"{loaded.key}: loaded; new rate cards: {', '.join(loaded.cards)}.")
        else:
            self.stdout.write(f"{loaded.key}: loaded; the rates are what they were.")
