"""Run the sandbox's due actions and deliver its events now."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from sandbox import scheduled_actions
from sandbox.models import Delivery
from sandbox.objects import deliveries


class Command(BaseCommand):
    help = "Run the sandbox's due actions, and attempt every delivery that is due."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--event", help="deliver this event again, whatever the state of its delivery")
        parser.add_argument("--lost", action="store_true", help="also deliver events lost by a switch")
        parser.add_argument("--settle", action="store_true", help="first settle every pending payment")
        parser.add_argument("--fail", action="store_true", help="first fail every pending payment")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        if options["settle"] or options["fail"]:
            done = scheduled_actions.settle_pending(now, succeeded=not options["fail"])
            self.stdout.write(f"{done} payments {'failed' if options['fail'] else 'settled'}")
        self.stdout.write(f"{scheduled_actions.run_due(now)} due actions run")
        if options["event"]:
            deliveries.redeliver(options["event"], now)
        if options["lost"]:
            Delivery.objects.filter(state=Delivery.State.LOST).update(
                state=Delivery.State.WAITING, due_at=now
            )
        tried = 0
        while count := deliveries.deliver_due(timezone.now()):
            tried += count
        deliveries.wait_until_idle()
        self.stdout.write(f"{tried} deliveries attempted")
