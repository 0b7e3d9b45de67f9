"""The rules of Chinese texts: placeholders, tags, punctuation, spaces and words."""

import pytest

from config.translations import faults


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("Buy %(n)s credits", "购买 %(n)s 积分"),
        ("%(percent)s%% less", "便宜 %(percent)s%%"),
        ('<span class="soft">credits</span>', '<span class="soft">积分</span>'),
        ("Send %(a)s and %(b)s (again).", "请再次发送 %(b)s 和 %(a)s（重复）。"),
        ("Resets %(reset)s", "%(reset)s重置"),
        ("The API key is revoked.", "API 密钥已撤销。"),
        ("Send the header Idempotency-Key.", "请发送 Idempotency-Key 请求头。"),
        ("Run manage.py load_catalogue", "运行 manage.py load_catalogue"),
        ("Such as 5.5, at %(url)s.", "例如 5.5，位于 %(url)s。"),
        ("Time: %(t)s\nIP: %(ip)s", "时间：%(t)s\nIP：%(ip)s"),
        (" credits", " 积分"),
        (", ", "、"),
    ],
)
def test_a_good_translation_has_no_fault(english: str, chinese: str) -> None:
    assert list(faults.of_translation(english, chinese)) == []


@pytest.mark.parametrize(
    ("english", "chinese", "fault"),
    [
        ("Buy %(n)s credits", "购买积分", "other placeholders"),
        ("Buy %(n)s credits", "购买 %(m)s 积分", "other placeholders"),
        ("At most {largest}", "最多 {most}", "other placeholders"),
        ("100%%", "一百", "other placeholders"),
        ("100 per cent", "100%", "other placeholders"),
        ("<strong>Paid</strong>", "已付款", "other HTML tags"),
        ('<a href="/a">Buy</a>', '<a href="/b">购买</a>', "other HTML tags"),
        (" credits", "积分", "other white space at the edge"),
        ("Paid\n", "已付款", "other white space at the edge"),
        ("Time: 1\nIP: 2", "时间：1 IP：2", "another number of lines"),
        ("Buy credits", "购买 credits", "English word “credits”"),
        ("Paid, thanks", "已付款,谢谢", "ASCII punctuation"),
        ("Paid.", "已付款.", "ASCII punctuation"),
        ("Sent to %(url)s.", "已发送到 %(url)s.", "ASCII punctuation"),
        ("Paid (today)", "已付款 (今天)", "ASCII punctuation"),
        ("Loading…", "加载中...", "ASCII punctuation"),
        ("API key", "API密钥", "no space between Chinese and Latin"),
        ("5 days", "5天", "no space between Chinese and Latin"),
        ("Paid. Thanks", "已付款。 谢谢", "a space beside Chinese punctuation"),
        ("Your plan", "你的套餐", "“你” instead of “您”"),
    ],
)
def test_a_fault_of_a_translation_is_named(english: str, chinese: str, fault: str) -> None:
    assert fault in " ".join(faults.of_translation(english, chinese))
