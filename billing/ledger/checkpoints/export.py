"""Export of the chain of checkpoints to a file, and comparison of the database with such a file.

The file has one JSON object per line: first the format and the public keys, then each checkpoint with its
signature. Kept outside the database, it proves a later rewrite of the database, even one that replaces all
checkpoints or uses the signing key.
"""

import base64
import json
from collections.abc import Iterator
from typing import IO, Any

from billing.ledger.checkpoints import content, keys
from billing.ledger.checkpoints.verification import Difference
from billing.ledger.models import Checkpoint

FORMAT = "refill-ledger-checkpoints/1"


class NotAnExport(Exception):
    """The file is not a complete export of checkpoints."""


def write(file: IO[str]) -> int:
    """Write all checkpoints to the file; returns their number."""
    _write_line(file, {"format": FORMAT, "keys": published_keys()})
    count = 0
    for checkpoint in Checkpoint.objects.order_by("number").iterator():
        _write_line(file, signed(checkpoint))
        count += 1
    return count


def differences(file: IO[str]) -> Iterator[Difference]:
    """Where the database differs from the file. Raises NotAnExport."""
    stored = dict(Checkpoint.objects.values_list("number", "hash"))
    for number, exported in _hashes(file).items():
        if number not in stored:
            yield Difference(f"checkpoint {number}", "it is in the file and not in the database")
        elif bytes(stored[number]) != exported:
            yield Difference(f"checkpoint {number}", "the file has another one with this number")


def signed(checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint with its signature, as in files and statements."""
    signature = base64.b64encode(bytes(checkpoint.signature)).decode()
    return {"checkpoint": content.content_of(checkpoint), "signature": signature}


def published_keys() -> dict[str, str]:
    """The public keys in base64 by their ids."""
    return {name: base64.b64encode(public).decode() for name, public in keys.public_keys().items()}


def _hashes(file: IO[str]) -> dict[int, bytes]:
    """The hash of each checkpoint in the file. Raises NotAnExport when its chain is not complete."""
    hashes: dict[int, bytes] = {}
    before = content.NO_HASH
    try:
        if json.loads(file.readline())["format"] != FORMAT:
            raise NotAnExport(f"the first line does not name the format {FORMAT}")
        for number, line in enumerate(file, start=1):
            checkpoint = json.loads(line)["checkpoint"]
            if checkpoint["number"] != number or checkpoint["previous"] != before.hex():
                raise NotAnExport(f"line {number + 1} does not continue the chain of checkpoints")
            hashes[number] = before = content.hash_of(checkpoint)
    except (ValueError, KeyError, TypeError) as error:
        raise NotAnExport(f"the file cannot be read: {error}") from error
    return hashes


def _write_line(file: IO[str], line: dict[str, Any]) -> None:
    file.write(json.dumps(line, sort_keys=True) + "\n")
