"""The supervisor starts an embedded PostgreSQL that died, until it runs."""

import signal
from typing import Any

import pytest

from config.supervisor import __main__ as supervisor
from config.supervisor.embedded_postgres import EmbeddedPostgresError


class Server:
    """Stands in for the embedded PostgreSQL: dead, and it starts only while the disk has space."""

    def __init__(self) -> None:
        self.runs = False
        self.disk_is_full = True
        self.starts = 0
        self.signals_meanwhile: list[signal.Signals] = []

    def ensure(self, _data: Any) -> None:
        self.starts += 1
        for number in self.signals_meanwhile:
            signal.raise_signal(number)
        if self.disk_is_full:
            raise EmbeddedPostgresError("pg_ctl failed: No space left on device")
        self.runs = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(supervisor.embedded_postgres, "is_running", lambda _data: made.runs)
    monkeypatch.setattr(supervisor.embedded_postgres, "ensure", made.ensure)
    return made


@pytest.mark.fault("O3")
def test_a_start_that_fails_is_repeated_until_the_disk_has_space(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = 100.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: seconds)
    database = supervisor.Database()
    assert [database.runs() for _ in range(3)] == [False] * 3
    assert server.starts == 1, "not at every look"
    seconds += supervisor.TRY_EVERY_SECONDS
    assert not database.runs() and server.starts == 2
    server.disk_is_full = False
    seconds += supervisor.TRY_EVERY_SECONDS
    assert database.runs() and server.starts == 3
    printed = capsys.readouterr().out
    assert printed.count("No space left on device") == 1 and "PostgreSQL runs again." in printed
    assert database.runs() and server.starts == 3


def test_a_server_that_was_killed_is_started_at_once(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.disk_is_full = False
    assert supervisor.Database().runs()
    assert "starting it again" in capsys.readouterr().out


@pytest.mark.parametrize("number", supervisor.SIGNALS)
def test_a_signal_waits_for_a_server_that_is_starting(server: Server, number: signal.Signals) -> None:
    """A server that had not yet recorded its process went on without the supervisor."""

    def stop(*_: Any) -> None:
        raise supervisor.Stop

    before = signal.signal(number, stop)
    server.signals_meanwhile = [number]
    server.disk_is_full = False
    try:
        with pytest.raises(supervisor.Stop):
            supervisor.Database().runs()
    finally:
        signal.signal(number, before)
    assert server.runs
