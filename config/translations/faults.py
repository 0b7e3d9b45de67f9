"""Faults of the Chinese messages: missing, stale, untranslated or against the rules of the texts."""

import re
from collections import Counter
from collections.abc import Iterator

from babel.messages.catalog import Catalog

from config.translations import po
from config.translations.extraction import Message

_TAG = re.compile(r"</?[a-z][^>]*>")
_NAMED = re.compile(r"%\([a-z0-9_]+\)[sd]|\{[a-z_]+\}|%%|%[sd]?")
# Code stays as it is: examples in braces, paths and addresses, names of settings, headers and options.
_CODE = re.compile(
    r"[\[{].*[\]}]|--[a-z]+|(?=[\x21-\x7e]*\w)[\x21-\x7e]*[/_@.<>`][\x21-\x7e]*|\w+(?:-\w+)+", re.ASCII
)
_HAN = r"[\u4e00-\u9fff]"
_WORD = re.compile(r"\b[A-Za-z]{2,}\b", re.ASCII)

# Names and code that Chinese texts keep in Latin letters.
_KEPT = re.compile(
    "API|ASCII|Authorization|Bearer|CSRF|CSV|CVC|Checkout|Content|Cookie|DE|Developers|GET|Gone|HTML|IANA|IBAN|"
    "INV|JavaScript|MB|PIN|localhost|IDs?|IP|JSON|NUL|PDF|POST|Paris|RFC|SEPA|Secure|Standard|Stripe|token|Type|URL|UTC|Webhooks?|"
    "action|code|days|forever|keys|manage|service|year"
)
# One form of address, and one spelling of each term: docs/design-system.md.
AVOIDED = {"你": "您", "帐": "账", "登陆": "登录", "条目": "明细"}


def of_files(catalog: Catalog, messages: list[Message]) -> Iterator[str]:
    """Differences between the code, the .po file and the compiled file."""
    wanted = {(message.context, message.singular): message.path for message in messages}
    present = {(context, singular) for context, singular, _plural, _text in po.entries(catalog)}
    for key, path in wanted.items():
        if key not in present:
            yield f"{path}: {key[1]!r} is missing in the .po file"
    for _context, singular in sorted(present - wanted.keys()):
        yield f"{singular!r} is not used any more"
    if present == wanted.keys():
        if po.PO.read_bytes() != po.as_text(po.updated(catalog, messages)):
            yield "The .po file is not as `make messages` writes it"
        elif po.PO.with_suffix(".mo").read_bytes() != po.compiled(po.updated(catalog, messages)):
            yield "The .mo file is not compiled from the .po file"


def of_translations(catalog: Catalog) -> Iterator[str]:
    """Faults of the translations, each with its message."""
    for message in catalog:
        if message.id and message.fuzzy:
            yield f"{message.id!r}: is marked fuzzy; check the translation and remove the mark"
    for _context, singular, plural, text in po.entries(catalog):
        if not text:
            yield f"{singular!r}: not translated"
            continue
        for fault in of_translation(plural or singular, text):
            yield f"{singular!r}: {fault}: {text!r}"


def of_translation(english: str, chinese: str) -> Iterator[str]:
    """Faults of one translation; `english` is the plural form when there is one."""
    if set(_NAMED.findall(english)) != set(_NAMED.findall(chinese)):
        yield "other placeholders"
    if Counter(_TAG.findall(english)) != Counter(_TAG.findall(chinese)):
        yield "other HTML tags"
    for edge in (r"^\s*", r"\s*$"):
        same = re.search(edge, english)[0] == re.search(edge, chinese)[0]  # type: ignore[index]
        if not same and re.search(r"\w", english):  # a separator such as ", " is “、”
            yield "other white space at the edge"
    if english.count("\n") != chinese.count("\n"):
        yield "another number of lines"
    if re.search(r"[ \t][，。：；？！、）”]|[，。：；？！、（“][ \t]", chinese):
        yield "a space beside Chinese punctuation"
    for avoided, term in AVOIDED.items():
        if avoided in chinese:
            yield f"“{avoided}” instead of “{term}”"
    yield from _of_words(_CODE.sub("", _NAMED.sub("", _TAG.sub("", chinese))))


def _of_words(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        if not _KEPT.fullmatch(word):
            yield f"English word “{word}” (names that stay are listed in {__name__})"
    if re.search(rf"{_HAN} ?[,;:?!]|{_HAN} ?\.(?!\w)|{_HAN} ?\(|\) ?{_HAN}|\.\.\.", text):
        yield "ASCII punctuation instead of ，。：；？！（）…"
    if re.search(rf"{_HAN}[A-Za-z0-9]|[A-Za-z0-9]{_HAN}", text):
        yield "no space between Chinese and Latin letters or digits"
