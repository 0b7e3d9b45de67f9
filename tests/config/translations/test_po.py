"""The files of the Chinese messages follow the code without churn, and gettext can read them."""

import gettext
import io
from pathlib import Path

import pytest

from config.translations import __main__ as command
from config.translations import extraction, faults, po
from config.translations.extraction import Message

BUY = Message("Buy", "", "", "billing/views.py")
DAYS = Message("%(n)d day", "%(n)d days", "", "core/times.py")
ROLE = Message("Billing", "", "role", "accounts/models.py")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of an empty folder instead of the real ones."""
    monkeypatch.setattr(extraction, "ROOT", tmp_path)
    monkeypatch.setattr(po, "PO", tmp_path / "locale/zh_Hans/LC_MESSAGES/django.po")
    return po.PO


def code_has(monkeypatch: pytest.MonkeyPatch, *messages: Message) -> None:
    monkeypatch.setattr(extraction, "messages", lambda: iter(messages))


def translate(file: Path, **texts: str) -> None:
    text = file.read_text()
    for english, chinese in texts.items():
        text = text.replace(f'msgid "{english}"\nmsgstr ""', f'msgid "{english}"\nmsgstr "{chinese}"')
    file.write_text(text)


def test_new_messages_are_added_and_old_ones_removed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code_has(monkeypatch, BUY)
    assert command.update() == 1
    translate(file, Buy="购买")
    assert command.update() == 0
    code_has(monkeypatch, BUY, DAYS)
    assert command.update() == 1
    assert 'msgstr "购买"' in file.read_text()
    assert 'msgid_plural "%(n)d days"\nmsgstr[0] ""' in file.read_text()
    code_has(monkeypatch, DAYS)
    command.update()
    assert "购买" not in file.read_text()


def test_the_files_change_only_with_the_messages(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code_has(monkeypatch, ROLE, BUY, DAYS)
    command.update()
    before = file.read_bytes(), file.with_suffix(".mo").read_bytes()
    command.update()
    assert (file.read_bytes(), file.with_suffix(".mo").read_bytes()) == before
    assert "Date" not in file.read_text() and ":1" not in file.read_text()


def test_gettext_reads_the_compiled_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code_has(monkeypatch, ROLE, BUY, DAYS)
    command.update()
    translate(file, Buy="购买", Billing="账单管理员")
    file.write_text(file.read_text().replace('msgstr[0] ""', 'msgstr[0] "%(n)d 天"'))
    assert command.update() == 0
    compiled = gettext.GNUTranslations(io.BytesIO(file.with_suffix(".mo").read_bytes()))
    assert compiled.gettext("Buy") == "购买"
    assert compiled.pgettext("role", "Billing") == "账单管理员"
    assert [compiled.ngettext("%(n)d day", "%(n)d days", n) % {"n": n} for n in (1, 2)] == ["1 天", "2 天"]


def test_a_message_that_becomes_a_plural_keeps_its_translation(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_has(monkeypatch, BUY)
    command.update()
    translate(file, Buy="购买")
    code_has(monkeypatch, BUY._replace(plural="Buy all"))
    assert command.update() == 0
    assert 'msgstr[0] "购买"' in file.read_text()


def test_the_check_names_missing_stale_and_uncompiled_messages(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code_has(monkeypatch, BUY)
    command.update()
    translate(file, Buy="购买")
    command.update()
    assert command.check() == 0
    code_has(monkeypatch, DAYS)
    assert command.check() == 1
    printed = capsys.readouterr().err
    assert "core/times.py: '%(n)d day' is missing in the .po file" in printed
    assert "'Buy' is not used any more" in printed
    assert "Run `make messages`, translate in locale/zh_Hans/LC_MESSAGES/django.po" in printed
    code_has(monkeypatch, BUY)
    file.with_suffix(".mo").write_bytes(b"")
    assert command.check() == 1
    assert "The .mo file is not compiled from the .po file" in capsys.readouterr().err


def test_the_check_names_fuzzy_messages(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code_has(monkeypatch, BUY)
    command.update()
    translate(file, Buy="购买")
    file.write_text(file.read_text().replace('msgid "Buy"', '#, fuzzy\nmsgid "Buy"'))
    assert [fault for fault in faults.of_translations(po.read()) if "fuzzy" in fault]
