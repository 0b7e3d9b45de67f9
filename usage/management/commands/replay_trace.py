"""`manage.py replay_trace FILE --account … --service …`: charge a trace of model calls over the HTTP API."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from core.amounts import plain
from usage.demo import trace_replay

BAR_WIDTH = 30


class Command(BaseCommand):
    help = (
        "Charge a CSV trace of model calls (TIMESTAMP, ContextTokens, GeneratedTokens) through the HTTP API."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="CSV trace, such as usage/data/azure_llm_trace_slice.csv")
        parser.add_argument("--account", required=True, help="account id or external id")
        parser.add_argument("--service", required=True, help="service to charge, such as claude-sonnet-4")
        parser.add_argument("--url", help="portal URL (default: that of the demo world, or SITE_URL)")
        parser.add_argument("--key", help="platform key with scope spend (default: that of the demo world)")
        parser.add_argument("--limit", type=_positive_int, help="maximum number of calls")
        parser.add_argument(
            "--concurrency", type=_positive_int, default=4, help="concurrent calls (default: 4)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        demo = _demo_credentials()
        target = trace_replay.Target(
            url=options["url"] or demo.get("url") or settings.SITE_URL,
            key=options["key"] or demo.get("platform_key") or "",
            account=options["account"],
            service=options["service"],
            name=file.stem,
        )
        if not target.key:
            raise CommandError("There is no demo world. Give a platform key with --key.")
        try:
            total = sum(1 for _ in trace_replay.read(file, options["limit"]))
            tally = trace_replay.replay(
                trace_replay.read(file, options["limit"]),
                target,
                concurrency=options["concurrency"],
                progress=lambda tally: self._progress(tally, total),
            )
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}") from None
        except (trace_replay.TraceInvalid, trace_replay.ReplayFailed) as error:
            raise CommandError(str(error)) from None
        self._report(tally)

    def _progress(self, tally: trace_replay.Tally, total: int) -> None:
        if not self.stderr.isatty():
            return
        done = BAR_WIDTH * tally.calls // total
        bar = "#" * done + "-" * (BAR_WIDTH - done)
        line = f"\r[{bar}] {tally.calls}/{total}  {tally.calls_per_second:.0f} calls/s"
        sys.stderr.write(line + ("\n" if tally.calls == total else ""))
        sys.stderr.flush()

    def _report(self, tally: trace_replay.Tally) -> None:
        refused = sum(tally.refusals.values())
        reasons = ", ".join(f"{count} {code}" for code, count in tally.refusals.most_common())
        self.stdout.write(f"calls             {tally.calls}")
        self.stdout.write(f"charged           {tally.charged} ({tally.replayed} of them by an earlier run)")
        self.stdout.write(f"credits           {plain(tally.credits)}")
        self.stdout.write(f"refusals          {refused}" + (f" ({reasons})" if reasons else ""))
        self.stdout.write(f"calls per second  {tally.calls_per_second:.1f}")


def _demo_credentials() -> dict[str, str]:
    file = settings.VAR_DIR / "demo.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
