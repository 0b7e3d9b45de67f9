#!/usr/bin/env python3
"""Verify a downloaded credit statement offline: `python3 verify_statement.py FILE [--public-key KEY]`.

It needs Python 3.9 or newer and no other package, and connects to nothing. It verifies that every entry's
hash follows from its figures and the entry before, that opening + movements = closing, and that the account's
position was signed in a checkpoint of the ledger. docs/verify-statements.md describes the file.

Exit status: 0 verified; 1 something differs; 2 the file or a key cannot be read; 3 consistent, but the newest
entries are not signed yet.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal

STATEMENT = "refill-statement/1"
CHECKPOINT = "refill-ledger-checkpoint/1"
LEAF = "refill-ledger-head/1"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
VERIFIED, DIFFERS, UNREADABLE, PENDING = 0, 1, 2, 3


class Differs(Exception):
    """The statement is not what was signed, or contradicts itself."""


class Unreadable(Exception):
    """The file is not a statement, or a key is not a key."""


# Ed25519 signatures, verification only (RFC 8032, section 5.1). Points have the coordinates (X, Y, Z, T).

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def decompress(encoded):
    """The point of 32 bytes, or None when there is none (RFC 8032, section 5.1.3)."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(public_key, message, signature):
    """Whether `signature` (64 bytes) is the Ed25519 signature of the message by the public key (32 bytes)."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, commitment = decompress(public_key), decompress(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= L:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    left = multiply(scalar, BASE)
    right = add(commitment, multiply(int.from_bytes(digest, "little") % L, key))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P == 0


# The formats of the ledger: what an entry's hash, a leaf and a checkpoint's signature cover.


def payload(account, entry):
    """What the hash of an entry covers, after the entry before (ledger_payload in the database)."""
    return "|".join(
        [
            account,
            str(entry["seq"]),
            entry["kind"],
            entry["grant"] or "",
            entry["credits"],
            entry["debt"],
            entry["grant_after"],
            entry["balance_after"],
            entry["charge"] or "",
            entry["hold"] or "",
            str(microseconds(entry["created_at"])),
            entry["digest"] or "",
            str(len(entry["reason"])),
            entry["reason"],
            entry["actor"],
        ]
    )


def first_hash(account):
    """The hash before the first entry of an account."""
    return hashlib.sha256(bytes.fromhex(account.replace("-", ""))).digest()


def microseconds(text):
    """Microseconds since 1970 of a time such as 2026-11-20T12:00:00.000000Z."""
    at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=EPOCH.tzinfo)
    return (at - EPOCH) // timedelta(microseconds=1)


def leaf(account, head):
    """The hash of an account's leaf in a checkpoint's Merkle tree."""
    parts = [LEAF, account, str(head["seq"]), head["hash"], head["balance"], head["held"], head["debt"]]
    return hashlib.sha256(b"\x00" + "|".join(parts).encode()).digest()


def root(node, index, count, proof):
    """The root of the tree with `count` leaves in which `proof` leads from the leaf `node` (RFC 9162)."""
    nodes = [bytes.fromhex(text) for text in proof]
    if not 0 <= index < count:
        raise Differs("the position in the checkpoint is outside its tree")
    while count > 1:
        if index ^ 1 < count:
            if not nodes:
                raise Differs("the proof of the position is too short")
            sibling = nodes.pop(0)
            pair = sibling + node if index % 2 else node + sibling
            node = hashlib.sha256(b"\x01" + pair).digest()
        index, count = index // 2, (count + 1) // 2
    if nodes:
        raise Differs("the proof of the position is too long")
    return node


def signed_message(checkpoint):
    """The bytes that a checkpoint's signature covers."""
    return json.dumps(checkpoint, sort_keys=True, separators=(",", ":")).encode("ascii")


def key_id(public_key):
    return hashlib.sha256(public_key).hexdigest()[:16]


# Verification.

HEX = re.compile(r"[0-9a-f]{64}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CREDITS = re.compile(r"-?[0-9]{1,14}\.[0-9]{6}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
KIND = re.compile(r"[a-z_]{1,20}")
ENTRY = {
    "kind": KIND, "credits": CREDITS, "debt": CREDITS, "grant_after": CREDITS, "balance_after": CREDITS,
    "created_at": TIME, "hash": HEX,
}  # fmt: skip
OPTIONAL = {"grant": UUID, "charge": UUID, "hold": UUID, "digest": HEX}


def check_entry(entry):
    """Raise Unreadable unless every field has its form, so that no other text gives the same payload."""
    for name, form in ENTRY.items():
        if not isinstance(entry[name], str) or not form.fullmatch(entry[name]):
            raise Unreadable(f"entry {entry.get('seq')}: {name} is {entry[name]!r}")
    for name, form in OPTIONAL.items():
        if entry[name] is not None and not form.fullmatch(entry[name]):
            raise Unreadable(f"entry {entry.get('seq')}: {name} is {entry[name]!r}")
    if type(entry["seq"]) is not int or not isinstance(entry["reason"] + entry["actor"], str):
        raise Unreadable(f"entry {entry['seq']}: a field has another type")


def follow_chain(statement):
    """Verify the chain of all entries; returns {number: (hash, balance)} of every position."""
    account, start = statement["account"], statement["start"]
    entries = statement["before"] + statement["entries"] + statement["after"]
    for entry in entries:
        check_entry(entry)
    head, seq = bytes.fromhex(start["hash"]), start["seq"]
    if seq == 0:
        balance = Decimal(0)
        if head != first_hash(account):
            raise Differs("the chain does not begin at the beginning of this account")
    else:
        balance = Decimal(entries[0]["balance_after"]) - Decimal(entries[0]["credits"])
    positions = {seq: (head, balance)}
    for entry in entries:
        if entry["seq"] != seq + 1:
            raise Differs(
                f"entry {seq} is followed by entry {entry['seq']}: a line is missing, added or moved"
            )
        seq, balance = entry["seq"], balance + Decimal(entry["credits"])
        if Decimal(entry["balance_after"]) != balance:
            raise Differs(f"entry {seq}: the balance after it is {entry['balance_after']}, not {balance}")
        head = hashlib.sha256(head + payload(account, entry).encode()).digest()
        if head.hex() != entry["hash"]:
            raise Differs(f"entry {seq}: its hash does not follow from its content and the entry before")
        positions[seq] = (head, balance)
    return positions


def check_period(statement, positions):
    """The entries are those of the period, and opening + movements = closing."""
    for text in (statement["from"], statement["to"]):
        if not TIME.fullmatch(text):
            raise Unreadable(f"the period has the time {text!r}")
    first, last = microseconds(statement["from"]), microseconds(statement["to"])
    before, entries, after = statement["before"], statement["entries"], statement["after"]
    opening = statement["start"]["seq"] + len(before)
    if opening > 0 and not before:
        raise Differs("the entry before the period is missing")
    for lines, text, ok in (
        (before[-1:], "the line before the period", lambda at: at < first),
        (entries[:1] + entries[-1:], "a line of the statement", lambda at: first <= at < last),
        (after[:1], "the line after the period", lambda at: at >= last),
    ):
        for entry in lines:
            if not ok(microseconds(entry["created_at"])):
                raise Differs(f"{text}, entry {entry['seq']}, has the time {entry['created_at']}")
    for name, seq in (("opening", opening), ("closing", opening + len(entries))):
        head, balance = positions[seq]
        if statement[name] != {"seq": seq, "hash": head.hex(), "balance": f"{balance:.6f}"}:
            raise Differs(f"the {name} position is not that of the entries")
    moved = sum((Decimal(entry["credits"]) for entry in entries), Decimal(0))
    if Decimal(statement["opening"]["balance"]) + moved != Decimal(statement["closing"]["balance"]):
        raise Differs("opening balance + movements is not the closing balance")
    return moved


def check_checkpoint(statement, positions, trusted):
    """The account's position is in the signed checkpoint, and on this statement's chain."""
    proof = statement["proof"]
    head, checkpoint = proof["head"], proof["checkpoint"]
    if checkpoint.get("format") != CHECKPOINT or proof["count"] != checkpoint["moved"]:
        raise Differs("the checkpoint is not one of the ledger")
    if type(checkpoint["number"]) is not int or not TIME.fullmatch(checkpoint["created_at"]):
        raise Unreadable("the checkpoint's number or time has another form")
    node = root(leaf(statement["account"], head), proof["index"], proof["count"], proof["nodes"])
    if node.hex() != checkpoint["root"]:
        raise Differs("the account's position is not in the checkpoint")
    keys = trusted or {name: decoded(text) for name, text in statement["keys"].items()}
    public_key = keys.get(checkpoint["key_id"])
    if public_key is None or key_id(public_key) != checkpoint["key_id"]:
        raise Differs(f"the checkpoint is signed with another key, {checkpoint['key_id']}")
    if not is_signed(
        public_key, signed_message(checkpoint), base64.b64decode(proof["signature"], validate=True)
    ):
        raise Differs("the checkpoint's signature is not valid")
    if positions.get(head["seq"]) != (bytes.fromhex(head["hash"]), Decimal(head["balance"])):
        raise Differs(f"the signed position, entry {head['seq']}, is not on the chain of this statement")


def loaded(file):
    """The JSON of a file. Raises Unreadable for a name that occurs twice: programs read different ones."""

    def unique(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise Unreadable("a name occurs twice in an object")
        return dict(pairs)

    def refuse(text):
        raise Unreadable(f"{text} is not JSON")

    return json.load(file, object_pairs_hook=unique, parse_constant=refuse)


def say(text):
    """Print one line with text of a file: nothing in it fails, or controls the terminal."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    encoding = sys.stdout.encoding or "ascii"
    print(shown.encode(encoding, "backslashreplace").decode(encoding))


def decoded(text):
    """A public key in base64. Raises Unreadable."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Unreadable(f"not a public key: {text!r}")
    return key


def trusted_keys(texts):
    """The keys of --public-key: in base64, or a file with the keys that the site publishes."""
    keys = []
    for text in texts:
        try:
            with open(text, encoding="utf-8") as file:
                keys += [decoded(key["public_key"]) for key in loaded(file)["keys"]]
        except OSError:
            keys.append(decoded(text))
    return {key_id(key): key for key in keys}


def verify(statement, trusted=None):
    """Return (status, lines of the report). Raises Differs and Unreadable."""
    if statement.get("format") != STATEMENT:
        raise Unreadable(f"the format is not {STATEMENT}")
    account, entries, proof = statement["account"], statement["entries"], statement["proof"]
    if not UUID.fullmatch(account):
        raise Unreadable("the account is not a UUID")
    positions = follow_chain(statement)
    moved = check_period(statement, positions)
    opening, closing = statement["opening"], statement["closing"]
    lines = [
        f"Account {account}, {statement['from']} to {statement['to']}",
        f"{len(entries)} entries: {opening['balance']} {moved:+f} = {closing['balance']} credits",
        "Each entry's hash follows from its figures and the entry before.",
    ]
    if proof is None:
        return PENDING, [
            *lines,
            "NOT SIGNED YET: no checkpoint covers this account. Download it again later.",
        ]
    check_checkpoint(statement, positions, trusted)
    checkpoint, head = proof["checkpoint"], proof["head"]
    lines.append(
        f"Signed: entry {head['seq']} in checkpoint {checkpoint['number']} of {checkpoint['created_at']},"
        f" key {checkpoint['key_id']}."
    )
    if not trusted:
        lines.append(
            "The key is the one in the file. Compare it with the key that the site publishes (--public-key)."
        )
    if head["seq"] < closing["seq"]:
        pending = closing["seq"] - max(head["seq"], opening["seq"])
        return PENDING, [*lines, f"NOT SIGNED YET: the newest {pending} entries. Download it again later."]
    if not statement["after"] and checkpoint["created_at"] < statement["to"]:
        lines.append(f"Complete until {checkpoint['created_at']}: a later entry would not be in this file.")
    else:
        lines.append("Complete: no entry of the period is missing.")
    return VERIFIED, lines


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", help="the statement, as downloaded")
    parser.add_argument("--account", help="the account that it must be of (UUID)")
    parser.add_argument(
        "--public-key",
        action="append",
        default=[],
        help="a trusted key in base64, or a file downloaded from /.well-known/refill-ledger-keys.json",
    )
    options = parser.parse_args(arguments)
    try:
        with open(options.file, encoding="utf-8") as file:
            statement = loaded(file)
        trusted = trusted_keys(options.public_key)
        if options.account and options.account != statement["account"]:
            raise Differs(f"it is a statement of the account {statement['account']}")
        status, lines = verify(statement, trusted)
    except Differs as error:
        say(f"FAILED: {error}.")
        return DIFFERS
    except (
        Unreadable,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        say(f"UNREADABLE: {type(error).__name__}: {error}.")
        return UNREADABLE
    for line in lines:
        say(line)
    verified = "VERIFIED" if trusted else "VERIFIED ONLY WITH THE KEY IN THE FILE"
    say(verified if status == VERIFIED else "CONSISTENT, NOT YET COMPLETELY SIGNED")
    return status


if __name__ == "__main__":
    sys.exit(main())
