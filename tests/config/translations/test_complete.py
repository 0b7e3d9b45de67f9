"""The Chinese messages of the repository are complete, as `make check` requires."""

from config.translations import extraction, faults, po


def test_every_message_of_the_code_is_translated_without_faults() -> None:
    translations = po.read()
    assert [*faults.of_files(translations, list(extraction.messages()))] == []
    assert [*faults.of_translations(translations)] == []
