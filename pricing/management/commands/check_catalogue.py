"""`manage.py check_catalogue [NAME|PATH …]`: validate files, list assumed figures and untranslated texts."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pricing.catalogue import file as catalogue_file
from pricing.catalogue import texts


class Command(BaseCommand):
    help = (
        "Check catalogue files and list the figures that their products' pages do not give, with the reasons."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "catalogues", nargs="*", help="Names or paths; default: all catalogues of Refill."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        shipped = sorted(path.stem for path in catalogue_file.DIRECTORY.glob("*.toml"))
        problems: list[str] = []
        for name in options["catalogues"] or shipped:
            try:
                file = catalogue_file.read(name)
            except catalogue_file.CatalogueInvalid as error:
                problems += error.problems
                continue
            assumed = catalogue_file.assumptions(file.catalogue)
            self.stdout.write(f"{file.path.name}: sound; {len(assumed)} assumed figures")
            for entry, reason in assumed:
                self.stdout.write(f"  {entry}: {reason}")
            for language in file.catalogue.translations:
                for text in texts.missing(file.catalogue, language):
                    self.stdout.write(f"  translations.{language}: no translation of {text!r}")
        if problems:
            raise CommandError("\n".join(problems))
