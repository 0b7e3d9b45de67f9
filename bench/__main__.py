"""`make bench`: measures the ledger against the floor, prints the table, writes var/bench.json.

Everything runs on an embedded PostgreSQL of its own (var/bench, removed first), fsync and
synchronous_commit on, each figure in turn with the floor. `--only sql_hot,…` measures a part;
`--quick` shortens the runs and the growth (for trying, not for quoting).
"""

import argparse
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
AT_LEAST = {
    "sql_uniform": 0.6,
    "sql_hot": 0.9,
    "python_uniform": 0.45,
    "python_hot": 1.7,
    "sql_batch": 1.5,
    "hold_capture": 0.4,
    "http_uniform": 0.45,
    "http_hot": 1.5,
    "http_batch": 0.9,
    "http_balance": 2,
    "http_ordinary": 0.9,
    "live_tabs": 2000,
    "refresh_accounts_per_second": 10_000,
    "audit_entries_per_second": 100_000,
}
AT_MOST = {
    "growth_charge": 1.5,
    "growth_balance": 1.5,
    "growth_spent_grants": 1.2,
    "claw_back_ms": 50,
    "isolation_ms": 50,
    "dashboard_ms": 50,
    "conversations_ms": 100,
    "history_ms": 40,
    "statement_ms": 150,
    "hours_ms": 100,
    "forecast_ms": 100,
    "plan_advice_ms": 100,
    "swap_ms": 100,
    "refusals_ms": 100,
    "budget_ms": 100,
    "http_p99_ms": 30,
    "web_mb": 200,
}


def main() -> int:
    options = _options()
    home = Path(os.environ.get("REFILL_VAR", TOP / "var")).resolve()
    world_dir = home / "bench"
    _start(world_dir)
    from config.supervisor import embedded_postgres

    try:
        results = _measure(options)
    finally:
        embedded_postgres.stop(world_dir / "postgres")
    return _report(results, home / "bench.json")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--quick", action="store_true", help="short runs, small growth")
    return parser.parse_args()


def _start(world_dir: Path) -> None:
    from config.supervisor import embedded_postgres

    embedded_postgres.stop(world_dir / "postgres")
    shutil.rmtree(world_dir, ignore_errors=True)
    os.environ["REFILL_VAR"] = str(world_dir)
    os.environ.pop("DATABASE_URL", None)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from bench import world
    from config.prepare import prepare

    prepare(whole=False)
    world.seed()


def _measure(options: argparse.Namespace) -> dict[str, tuple[float, str]]:
    from bench import audit, growth, http, isolation, live_tabs, measures, portal, refresh, years

    seconds = 2 if options.quick else 6
    large = 200_000 if options.quick else growth.LARGE
    accounts = 10_000 if options.quick else refresh.ACCOUNTS
    plain: dict[str, Callable[[], Any]] = {
        "sql_uniform": lambda: measures.sql_uniform(seconds),
        "sql_hot": lambda: measures.sql_hot(seconds),
        "python_uniform": lambda: measures.python_uniform(seconds),
        "python_hot": lambda: measures.python_hot(seconds),
        "sql_batch": lambda: measures.sql_batch(seconds),
        "hold_capture": lambda: measures.hold_capture(seconds),
        "http_uniform": lambda: http.http_uniform(seconds),
        "http_hot": lambda: http.http_hot(seconds),
        "http_batch": lambda: http.http_batch(seconds),
        "http_p99_ms": lambda: http.http_p99_ms(seconds),
        "http_ordinary": lambda: http.http_ordinary(seconds),
        "web_mb": lambda: http.web_mb(seconds),
        "live_tabs": lambda: live_tabs.live_tabs(2 * seconds),
        # before the next one, whose accounts have allowances without the entries that an audit expects
        "audit_entries_per_second": lambda: audit.audit_entries_per_second(large // 5),
        "refresh_accounts_per_second": lambda: refresh.refresh_accounts_per_second(accounts),
        "growth_spent_grants": growth.spent_grants,
        "isolation_ms": lambda: isolation.isolation_ms(seconds),
        "claw_back_ms": lambda: years.claw_back_ms(60_000 if options.quick else years.ENTRIES),
        "portal": lambda: portal.portal_ms(20_000 if options.quick else portal.CHARGES),
        "growth_charge": lambda: growth.growth(large),
    }
    wanted = [name for name in options.only.split(",") if name] or list(plain)
    results: dict[str, tuple[float, str]] = {}
    for name in wanted:
        measured = plain[name]()
        found = measured if isinstance(measured, dict) else {name: measured}
        results |= found
        for measure, (value, _detail) in found.items():
            print(f"  measured {measure}: {value:.2f}", flush=True)
    return results


def _report(results: dict[str, tuple[float, str]], file: Path) -> int:
    missed = 0
    print(f"\n{'name':<30}{'value':>12}  {'bound':>10}  detail")
    for name, (value, detail) in results.items():
        bound, met = _bound(name, value)
        missed += not met
        print(f"{name:<30}{value:>12,.2f}  {bound:>10}  {detail}{'' if met else '   <- missed'}")
    file.parent.mkdir(parents=True, exist_ok=True)
    table = {name: {"value": round(value, 3), "detail": detail} for name, (value, detail) in results.items()}
    file.write_text(json.dumps(table, indent=2) + "\n")
    print(f"\nWritten to {file}")
    return 1 if missed else 0


def _bound(name: str, value: float) -> tuple[str, bool]:
    if name in AT_MOST:
        return f"<= {AT_MOST[name]}", value <= AT_MOST[name]
    return f">= {AT_LEAST[name]:,}", value >= AT_LEAST[name]


raise SystemExit(main())
