"""Logs of supervised processes."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from config.supervisor import processes


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(processes, "LARGEST_LOG_BYTES", 10)
    return tmp_path / "web.log"


def test_a_large_log_is_copied_and_emptied_while_its_process_writes(log: Path) -> None:
    with log.open("ab", buffering=0) as process:
        process.write(b"1234567890")
        processes.rotate(log)
        assert log.read_bytes() == b"1234567890"
        process.write(b"+")
        processes.rotate(log)
        process.write(b"next")
    assert (log.read_bytes(), log.with_suffix(".log.1").read_bytes()) == (b"next", b"1234567890+")


def test_on_a_full_disk_a_large_log_is_emptied(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, target: Path) -> Any:
        target.write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    log.write_bytes(b"x" * 11)
    processes.rotate(log)
    assert log.read_bytes() == b"" and not log.with_suffix(".log.1").exists()


def test_a_log_that_does_not_exist_yet_is_left_alone(log: Path) -> None:
    processes.rotate(log)
    assert not log.exists()
