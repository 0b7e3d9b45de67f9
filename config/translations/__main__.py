"""`python -m config.translations`: update the .po file and compile it. With `--check`: report faults only."""

import sys

from config.translations import extraction, faults, po


def update() -> int:
    catalog = po.updated(po.read(), extraction.messages())
    po.PO.parent.mkdir(parents=True, exist_ok=True)
    po.PO.write_bytes(po.as_text(catalog))
    po.PO.with_suffix(".mo").write_bytes(po.compiled(catalog))
    return report(list(faults.of_translations(catalog)))


def check() -> int:
    catalog = po.read()
    found = [*faults.of_files(catalog, list(extraction.messages())), *faults.of_translations(catalog)]
    return report(found)


def report(found: list[str], shown: int = 20) -> int:
    """Print the first faults; the result is the exit status."""
    for fault in found[:shown]:
        print(fault, file=sys.stderr)
    if len(found) > shown:
        print(f"… and {len(found) - shown} more", file=sys.stderr)
    if found:
        path = po.PO.relative_to(extraction.ROOT)
        print(f"Run `make messages`, translate in {path}, and run it again.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(check() if "--check" in sys.argv[1:] else update())
