"""Distributing the database, step by step.

Invariant: each step can be repeated, and does only what is left to do; after all of them every call of the
ledger finds its account's node.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection, transaction

from billing.ledger import database
from billing.ledger.distribution import calls, shards, tables


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something to do, in words for the operator."""

    words: str
    run: Callable[[], None]


def steps(*, shard_count: int) -> list[Step]:
    """What `distribute` would do now, in order."""
    left = tables.left_to_distribute()
    words = f"Distribute {', '.join(left)} in {shard_count} shards" if left else "All tables are distributed"
    return [
        Step(words=words, run=lambda: _distribute(shard_count)),
        Step(words=f"Install {len(calls.CALLS)} functions that send calls to the nodes", run=calls.install),
        Step(words="Install the ledger's functions for each group of shards", run=_install_shards),
    ]


def distribute(*, shard_count: int) -> None:
    """Run all steps."""
    for step in steps(shard_count=shard_count):
        step.run()


def install(*, has_changed: bool) -> None:
    """Install the functions again where the database is distributed: after migrations that changed something,
    or that ended before this step. Otherwise the portal may be serving, and they are left alone."""
    if is_distributed() and (has_changed or not shards.are_installed()):
        calls.install()
        _install_shards()


def drop_shard_schemas() -> None:
    """Before migrations, where the database is distributed: views prevent changes of their tables."""
    if is_distributed():
        shards.drop()


def is_distributed() -> bool:
    """Whether the database has been distributed, asked anew."""
    database.is_distributed.cache_clear()
    return database.is_distributed()


def _distribute(shard_count: int) -> None:
    with transaction.atomic():
        tables.distribute(shards=shard_count)
    database.is_distributed.cache_clear()


def _install_shards() -> None:
    connection.ensure_connection()
    for group in shards.groups():
        shards.install(group)
