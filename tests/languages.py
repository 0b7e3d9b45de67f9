"""Languages for tests: translations that show which language a text is in, whatever the .po files contain.

`marked` puts every message of Simplified Chinese in brackets: 【Save profile】. `longer` makes every message
40 % longer with accented letters; its code is that of Esperanto, which has a decimal comma, and which Refill
does not offer.
"""

import gettext
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.test import override_settings
from django.utils.translation import trans_real as _trans_real

from core.templatetags import times
from usage.templatetags import history_rows

trans_real: Any = _trans_real

LONGER = "eo"
_ACCENTED = str.maketrans("aceginorsuyACEGINORSUY", "áçéğíñóřšúýÁÇÉĞÍÑÓŘŠÚÝ")
# Not changed: placeholders of both forms, tags, entities.
_FIXED = re.compile(r"(%\([a-z_]+\)[a-z]|%[a-z%]|\{[a-z_0-9.]*\}|<[^>]*>|&[a-z]+;|&#\d+;|\n)")


class _Messages(gettext.NullTranslations):
    """Translations made from the English message by a function."""

    def __init__(self, language: str, change: Callable[[str], str]) -> None:
        super().__init__()
        self._language, self._change = language, change

    def language(self) -> str:
        return self._language

    def to_language(self) -> str:
        return self._language

    def gettext(self, message: str) -> str:
        text = message.rpartition("\x04")[2]  # without its context
        return self._change(text) if text else text

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self._change(msgid1 if n == 1 else msgid2)


def _bracketed(message: str) -> str:
    return f"【{message}】"


def lengthened(message: str) -> str:
    """The message with accented letters, and 40 % longer."""
    pieces = enumerate(_FIXED.split(message))
    parts = [piece if number % 2 else piece.translate(_ACCENTED) for number, piece in pieces]
    more = "~" * -(-len(_FIXED.sub("", message)) * 4 // 10)
    padding = " ".join(more[at : at + 8] for at in range(0, len(more), 8))
    text = "".join(parts)
    end = len(text.rstrip())
    return f"[{text[:end]} {padding}]{text[end:]}" if padding else text


def _forget_cached() -> None:
    """Forget the texts that are kept by language."""
    times._date_in.cache_clear()
    history_rows.kind_labels.cache_clear()


@contextmanager
def _replaced(language: str, change: Callable[[str], str]) -> Iterator[None]:
    kept = trans_real._translations.pop(language, None)
    trans_real._translations[language] = _Messages(language, change)
    _forget_cached()
    try:
        yield
    finally:
        _forget_cached()
        del trans_real._translations[language]
        if kept is not None:
            trans_real._translations[language] = kept


def marked() -> AbstractContextManager[None]:
    """Messages in Simplified Chinese are the English ones in brackets."""
    return _replaced("zh-hans", _bracketed)


@contextmanager
def longer() -> Iterator[None]:
    """A language LONGER is offered, whose messages are longer than the English ones."""
    languages = [("en", "English"), ("zh-hans", "简体中文"), (LONGER, "Pseudo")]
    with override_settings(LANGUAGES=languages), _replaced(LONGER, lengthened):
        yield
