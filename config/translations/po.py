"""The Chinese messages: `locale/zh_Hans/LC_MESSAGES/django.po`, and `django.mo`, which Django reads.

Invariant: both files depend only on the messages and their translations. They contain no dates, line numbers
or versions, so that two people who add messages change different lines. The compiled file is committed:
a checkout, an image and a release need no step of their own.
"""

import io
from collections.abc import Iterable, Iterator

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog
from babel.messages.catalog import Message as Entry

from config.translations.extraction import ROOT, Message

PO = ROOT / "locale/zh_Hans/LC_MESSAGES/django.po"

HEADERS = [
    ("Language", "zh_Hans"),
    ("MIME-Version", "1.0"),
    ("Content-Type", "text/plain; charset=UTF-8"),
    ("Content-Transfer-Encoding", "8bit"),
    ("Plural-Forms", "nplurals=1; plural=0;"),
]
COMMENT = """\
# Simplified Chinese. `make messages` adds the new messages of the code and removes the old ones; translate
# those with an empty msgstr, then run it again. The terms: docs/design-system.md, "Chinese".
"""


class _Messages(Catalog):
    """A catalogue of gettext whose header is always the same."""

    def __init__(self) -> None:
        super().__init__(locale="zh_Hans", fuzzy=False)

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        return HEADERS


def read() -> Catalog:
    """The translations; without the file, none."""
    return pofile.read_po(io.BytesIO(PO.read_bytes() if PO.exists() else b""), locale="zh_Hans")


def updated(translations: Catalog, messages: Iterable[Message]) -> Catalog:
    """The messages with their translations, in the order of the files; a new message has none."""
    result = _Messages()
    for message in messages:
        context = message.context or None
        old = translations.get(message.singular, context)
        text = _text(old) if old else ""
        result.add(
            (message.singular, message.plural) if message.plural else message.singular,
            string=(text,) if message.plural else text,
            flags=old.flags if old else (),
            locations=[(message.path, 0)],
            context=context,
        )
    return result


def _text(message: Entry) -> str:
    """The translation; Chinese has one form for all numbers."""
    text = message.string or ""
    return text if isinstance(text, str) else text[0]


def as_text(translations: Catalog) -> bytes:
    file = io.BytesIO()
    pofile.write_po(file, translations, width=0, omit_header=True, sort_by_file=True, include_lineno=False)
    header = "".join(f'"{name}: {value}\\n"\n' for name, value in HEADERS)
    return f'{COMMENT}msgid ""\nmsgstr ""\n{header}\n'.encode() + file.getvalue().rstrip(b"\n") + b"\n"


def compiled(translations: Catalog) -> bytes:
    file = io.BytesIO()
    mofile.write_mo(file, translations)
    return file.getvalue()


def entries(translations: Catalog) -> Iterator[tuple[str, str, str, str]]:
    """Context, singular, plural and translation of every message."""
    for message in translations:
        if message.id:
            singular, plural = (message.id, "") if isinstance(message.id, str) else message.id[:2]
            yield message.context or "", singular, plural, _text(message)
