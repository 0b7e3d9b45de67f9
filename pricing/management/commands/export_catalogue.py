"""`manage.py export_catalogue [--output PATH]`: write the present catalogue as a file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from pricing.catalogue import export
from pricing.catalogue.file import CatalogueInvalid


class Command(BaseCommand):
    help = "Write the catalogue with the changes of staff as a TOML file. Loading that file changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output", help="The file to write; else the text is printed.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text = export.text(timezone.now())
        except CatalogueInvalid as error:
            raise CommandError(f"Nothing was written.\n{error}") from error
        if options["output"]:
            Path(options["output"]).write_text(text, encoding="utf-8")
        else:
            self.stdout.write(text, ending="")
