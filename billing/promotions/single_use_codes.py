"""Codes of a promotion that are redeemed once: made, imported after a check, listed.

Invariants: a made code has 80 random bits, and an imported one at least SHORTEST characters; a code has only
letters, digits, "-" and "_" and begins with a letter or digit, so that no spreadsheet reads it as a formula;
an import adds all of its codes or none. What redeems them is in `redemption`, under the promotion's row lock.
"""

import csv
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from accounts.models import Account
from billing.models import InvitationCode, Promotion, Redemption, SingleUseCode
from core.errors import Refusal

MOST_AT_ONCE = 10_000
MOST = 100_000  # of a promotion
SHORTEST, LONGEST = 8, 40
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # 32 signs, five bits each, none like another
_GROUPS, _GROUP = 4, 4
_CODE = re.compile(r"[A-Z0-9][A-Z0-9_-]*")
_INVITATION = "INV-"


class CodesRefused(Refusal):
    """No code was added."""

    code = "codes_refused"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file of codes; `fault` is why its code cannot be imported, or empty."""

    number: int
    code: str
    fault: str


@dataclass(frozen=True, slots=True)
class Numbers:
    made: int
    used: int


def numbers(promotion: Promotion) -> Numbers:
    used = Count("redemptions", filter=Q(redemptions__released_at=None), distinct=True)
    found = SingleUseCode.objects.filter(promotion=promotion).aggregate(
        made=Count("pk", distinct=True), used=used
    )
    return Numbers(found["made"], found["used"])


def make(promotion: Promotion, *, number: int, batch: UUID, now: datetime) -> list[str]:
    """Make so many codes; those of the same `batch` are made once and returned again. Raises CodesRefused."""
    with transaction.atomic():
        _lock_with_room(promotion, number)
        earlier = SingleUseCode.objects.filter(promotion=promotion, batch=batch).order_by("pk")
        codes = list(earlier.values_list("code", flat=True))
        if not codes:
            codes = [_random() for _n in range(number)]
            _add(promotion, codes, batch, now)
    return codes


def check(text: str) -> list[Line]:
    """Every line of a CSV file with its code and fault. Nothing is stored. Raises CodesRefused.

    The codes are in the column "code" if the first line names one, else in the only column.
    """
    read = _read(text)
    if not read:
        raise CodesRefused(_("There are no codes. Enter one in each line."))
    times = Counter(code for _number, code, _fault in read)
    taken = _taken({code for _number, code, fault in read if not fault})
    first: dict[str, int] = {}
    lines = []
    for number, code, fault in read:
        if not fault and times[code] > 1 and code in first:
            fault = _("The code is in line %(line)d already.") % {"line": first[code]}
        elif not fault and code in taken:
            fault = _("The code exists already.")
        first.setdefault(code, number)
        lines.append(Line(number, code, fault))
    return lines


def add(promotion: Promotion, text: str, *, batch: UUID, now: datetime) -> int:
    """Import the codes of a CSV file: all, or none if a line has a fault. Returns how many.

    Raises CodesRefused.
    """
    try:
        with transaction.atomic():
            lines = check(text)
            _lock_with_room(promotion, len(lines))
            if any(line.fault for line in lines):
                raise CodesRefused(_("Nothing was imported, because lines have faults."))
            # in one order, so that two imports at once do not wait for each other
            _add(promotion, sorted(line.code for line in lines), batch, now)
    except IntegrityError:
        raise CodesRefused(_("Codes of the file were added meanwhile. Check it again.")) from None
    return len(lines)


def rows(promotion: Promotion) -> Iterator[tuple[str, str, str, str]]:
    """The lines of the file of all codes; the first has the names of the columns."""
    yield ("code", "state", "used_at", "account")
    uses = Redemption.objects.filter(promotion=promotion, released_at=None).exclude(single_use_code=None)
    used = {
        code: (created_at.isoformat(timespec="seconds"), Account.public_id_of(account_id))
        for code, created_at, account_id in uses.values_list("single_use_code_id", "created_at", "account_id")
    }
    codes = SingleUseCode.objects.filter(promotion=promotion).order_by("pk").values_list("pk", "code")
    for pk, code in codes.iterator():
        yield (code, "used", *used[pk]) if pk in used else (code, "unused", "", "")


def exists(code: str) -> bool:
    return SingleUseCode.objects.filter(code=code).exists()


def _read(text: str) -> list[tuple[int, str, str]]:
    """The number of each line that is not empty, its code, and the fault of its form."""
    # With the ends of lines, so that a quotation mark that is not closed joins no codes of two lines.
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True))
    column, found, wide = 0, [], False
    try:
        for cells in reader:
            names = [cell.strip().lower() for cell in cells]
            if reader.line_num == 1 and names.count("code") == 1:
                column, wide = names.index("code"), True
                continue
            if not any(names):
                continue
            code = cells[column].strip().upper() if column < len(cells) else ""
            several = not wide and len(cells) > 1
            found.append((reader.line_num, code[: 2 * LONGEST], _several() if several else _fault_of(code)))
            if len(found) > MOST_AT_ONCE:
                raise CodesRefused(_("Import at most %(most)d codes at once.") % {"most": MOST_AT_ONCE})
    except csv.Error as error:
        raise CodesRefused(
            _("Line %(line)d cannot be read: %(error)s.") % {"line": reader.line_num, "error": error}
        ) from None
    return found


def _several() -> str:
    return _("The line has several columns. Name the one with the codes “code” in the first line.")


def _fault_of(code: str) -> str:
    if not code:
        return _("There is no code in this line.")
    if not _CODE.fullmatch(code):
        return _("Use letters without accents, digits, “-” and “_”, and begin with a letter or digit.")
    if len(code) < SHORTEST:
        return _("The code has fewer than %(shortest)d characters and could be guessed.") % {
            "shortest": SHORTEST
        }
    if len(code) > LONGEST:
        return _("The code has more than %(longest)d characters.") % {"longest": LONGEST}
    if code.startswith(_INVITATION):
        return _("Codes of invitations begin with INV-.")
    return ""


def _taken(codes: Collection[str]) -> set[str]:
    """Those of the codes that somebody could enter already."""
    found: set[str] = set()
    for model in (SingleUseCode, Promotion, InvitationCode):
        found |= set(model.objects.filter(code__in=codes).values_list("code", flat=True))  # type: ignore[attr-defined]
    return found


def _lock_with_room(promotion: Promotion, number: int) -> None:
    locked = Promotion.objects.select_for_update(no_key=True).get(pk=promotion.pk)
    if not locked.single_use:
        raise CodesRefused(_("Choose “codes for one use” on the promotion first."))
    if not 1 <= number <= MOST_AT_ONCE:
        raise CodesRefused(_("Make at most %(most)d codes at once.") % {"most": MOST_AT_ONCE})
    if SingleUseCode.objects.filter(promotion=promotion).count() + number > MOST:
        raise CodesRefused(_("A promotion has at most %(most)d codes for one use.") % {"most": MOST})


def _add(promotion: Promotion, codes: list[str], batch: UUID, now: datetime) -> None:
    SingleUseCode.objects.bulk_create(
        [SingleUseCode(promotion=promotion, code=code, batch=batch, created_at=now) for code in codes],
        batch_size=1000,
    )


def _random() -> str:
    groups = ("".join(secrets.choice(_ALPHABET) for _n in range(_GROUP)) for _g in range(_GROUPS))
    return "-".join(groups)
