"""How Celery reads and writes the queues of `config.broker`.

A module of its own: only a process that uses a queue imports the clients of PGMQ, which take half a second
where SQLAlchemy is installed, too.
"""

from typing import Any

import pgmq
import psycopg
from kombu.transport import pgmq as kombu_pgmq
from psycopg_pool import ConnectionPool


class Channel(kombu_pgmq.Channel):
    """kombu's channel, which creates no queue that exists: the runtime role of the database may not."""

    def _new_queue(self, queue: str, **options: Any) -> None:
        if not self._has_queue(queue):
            super()._new_queue(queue, **options)


class Transport(kombu_pgmq.Transport):
    """kombu's transport over connections that prepare no statements, which PgBouncer does not allow.

    A worker tries again after an error of `connection_errors` and ends after any other. A database that is
    read-only for a while, as in a failover, is none for kombu, because it is an InternalError of psycopg.
    """

    Channel = Channel
    connection_errors = (*kombu_pgmq.Transport.connection_errors, psycopg.errors.ReadOnlySqlTransaction)

    def _create_pgmq_client(self) -> pgmq.PGMQueue:
        options = self.client.transport_options
        pool = ConnectionPool(
            options["conn_string"],
            min_size=1,
            max_size=options["pool_size"],
            timeout=options["pool_timeout"],
            kwargs={"prepare_threshold": None},
            open=True,
        )
        client = pgmq.PGMQueue(
            conn_string=options["conn_string"],
            vt=options["visibility_timeout"],
            init_extension=False,
            pool=pool,
        )
        client._own_pool = True  # closed with the client
        return client
