"""Turn the faults of the sandbox on and off."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sandbox import switches
from sandbox.switches import Fault


class Command(BaseCommand):
    help = (
        'Show the switches, or set one: events_lost on | off | 3 [--seconds 20]; "off" alone turns all off.'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("fault", nargs="?", choices=[*Fault.values, "off"])
        parser.add_argument("value", nargs="?", default="on", help="on, off, or a number of occurrences")
        parser.add_argument("--seconds", type=int, help="delay of the event or the response")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["fault"] == "off":
            switches.turn_all_off()
        elif options["fault"]:
            value = {"on": switches.UNTIL_SWITCHED_OFF, "off": 0}.get(options["value"])
            remaining = int(options["value"]) if value is None else value
            switches.turn(Fault(options["fault"]), remaining=remaining, seconds=options["seconds"])
        for state in switches.states():
            text = {0: "off", -1: "on"}.get(state.remaining, f"on for {state.remaining} more")
            wait = f" ({state.seconds} s)" if state.seconds else ""
            self.stdout.write(f"{state.fault.value:20} {text}{wait}")
