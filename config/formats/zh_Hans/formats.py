"""Simplified Chinese: 2026年11月20日, 11月20日, 12,345.5; digits are grouped by three."""

MONTH_DAY_FORMAT = "n月j日"
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
# Fields of type "date" take and show only ISO 8601; Django's first format here is 2026/11/20.
DATE_INPUT_FORMATS = ["%Y-%m-%d", "%Y/%m/%d"]
