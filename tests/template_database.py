"""One database with all migrations, of which each process of a run has a copy.

The process that starts the others makes it while they collect the tests: migrations take four seconds.
Invariant: it is made anew in every run, before the first test starts.
"""

import pytest
from django.db import connection
from pytest_django.plugin import blocking_manager_key

NAME = "test_refill_template"

_product_database: list[str] = []  # the connection's database before the template was made


def is_used(config: pytest.Config) -> bool:
    """Whether several processes run the tests, in databases that do not exist yet."""
    several = hasattr(config, "workerinput") or config.getoption("numprocesses", None)
    return bool(several) and (config.getoption("create_db") or not config.getoption("reuse_db"))


def make(config: pytest.Config) -> None:
    """Make the template; the connection of this process, which runs no test, is to the template then."""
    _product_database.append(connection.settings_dict["NAME"])
    connection.settings_dict["TEST"]["NAME"] = NAME
    with config.stash[blocking_manager_key].unblock():
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        connection.close()  # PostgreSQL copies a database without sessions only


def drop(config: pytest.Config) -> None:
    """Drop the template if this process has made it."""
    if _product_database:
        with config.stash[blocking_manager_key].unblock():
            connection.creation.destroy_test_db(_product_database.pop(), verbosity=0)
