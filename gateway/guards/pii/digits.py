"""Reading the form of a matched text: its digits without separators, its dates."""

_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SEPARATORS = str.maketrans("", "", " -./\u00a0\u2011\u2013()+")
"""What people put between groups: space, hyphen, dot, slash, no-break space and hyphen, dash, parentheses, a plus."""


def digits_of(text: str) -> str:
    """The text without separators: digits, and letters where its form has them."""
    return text.translate(_SEPARATORS)


def is_day(month: int, day: int) -> bool:
    """Whether a month has such a day, in one year or another: 29 February counts."""
    return 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]


def is_date(year: int, month: int, day: int) -> bool:
    """Whether a date exists in the Gregorian calendar."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return is_day(month, day) and (leap or (month, day) != (2, 29))
