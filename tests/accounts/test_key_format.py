"""The format of API keys, and the cost of rejecting malformed ones."""

import time

import pytest

from accounts import key_format


def test_a_new_key_is_well_formed():
    assert key_format.is_well_formed(key_format.new_secret("account"))
    assert key_format.is_well_formed(key_format.new_secret("platform"))


def test_keys_are_unique():
    assert len({key_format.new_secret("account") for _ in range(1000)}) == 1000


def test_a_key_contains_its_kind_and_is_one_word():
    secret = key_format.new_secret("platform")
    assert secret.startswith("rk_platform_")
    assert secret.replace("_", "").isalnum()


def test_a_single_mistyped_character_is_detected_without_the_database():
    secret = key_format.new_secret("account")
    for index in range(len("rk_account_"), len(secret)):
        other = "a" if secret[index] != "a" else "b"
        assert not key_format.is_well_formed(secret[:index] + other + secret[index + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rk_",
        "Bearer",
        "rk_account_" + "0" * 49,
        "rk_staff_" + "0" * 49,
        "é" * 60,
        "rk_account_" + "１" * 49,
    ],
)
def test_other_text_is_not_well_formed(text):
    assert not key_format.is_well_formed(text)


def test_a_key_that_is_too_short_or_too_long_is_not_well_formed():
    secret = key_format.new_secret("account")
    assert not key_format.is_well_formed(secret[:-1])
    assert not key_format.is_well_formed(secret + "0")
    assert not key_format.is_well_formed(secret + "\n")


@pytest.mark.fault("W6")
def test_five_hundred_malformed_keys_take_less_than_a_tenth_of_a_second():
    malformed = ["rk_account_" + str(number).rjust(49, "x") for number in range(500)]
    started = time.process_time()
    assert not any(key_format.is_well_formed(key) for key in malformed)
    assert time.process_time() - started < 0.1
