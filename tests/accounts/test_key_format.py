"""What an API key looks like, and how cheaply garbage is told from it."""

import time

import pytest

from accounts import key_format


def test_a_fresh_key_is_well_formed():
    assert key_format.is_well_formed(key_format.new_secret("account"))
    assert key_format.is_well_formed(key_format.new_secret("platform"))


def test_two_keys_are_never_alike():
    assert len({key_format.new_secret("account") for _ in range(1000)}) == 1000


def test_a_key_tells_its_kind_and_is_selected_by_a_double_click():
    secret = key_format.new_secret("platform")
    assert secret.startswith("rk_platform_")
    assert secret.replace("_", "").isalnum()


def test_a_single_mistyped_sign_is_noticed_without_the_database():
    secret = key_format.new_secret("account")
    for place in range(len("rk_account_"), len(secret)):
        other = "a" if secret[place] != "a" else "b"
        assert not key_format.is_well_formed(secret[:place] + other + secret[place + 1 :])


@pytest.mark.parametrize(
    "garbage",
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
def test_garbage_is_not_well_formed(garbage):
    assert not key_format.is_well_formed(garbage)


def test_neither_a_cut_nor_a_lengthened_key_is_well_formed():
    secret = key_format.new_secret("account")
    assert not key_format.is_well_formed(secret[:-1])
    assert not key_format.is_well_formed(secret + "0")
    assert not key_format.is_well_formed(secret + "\n")


@pytest.mark.fault("W6")
def test_five_hundred_garbage_keys_cost_less_than_a_tenth_of_a_second():
    garbage = ["rk_account_" + str(number).rjust(49, "x") for number in range(500)]
    began = time.process_time()
    assert not any(key_format.is_well_formed(one) for one in garbage)
    assert time.process_time() - began < 0.1
