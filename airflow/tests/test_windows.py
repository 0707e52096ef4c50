from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest

from nyc311_airflow.windows import WindowError, cut, day, deal


def test_months_end_with_the_calendar():
    assert cut(date(2025, 1, 15), date(2025, 3, 2), "month") == [
        (date(2025, 1, 15), date(2025, 2, 1)),
        (date(2025, 2, 1), date(2025, 3, 1)),
        (date(2025, 3, 1), date(2025, 3, 2)),
    ]


@pytest.mark.parametrize(
    ("size", "number"), [("day", 366), ("week", 53), ("month", 12), ("year", 1), ("whole", 1)]
)
def test_windows_of_each_size_are_the_whole_of_a_leap_year(size, number):
    windows = cut(date(2024, 1, 1), date(2025, 1, 1), size)
    assert len(windows) == number
    assert windows[0][0] == date(2024, 1, 1)
    assert windows[-1][1] == date(2025, 1, 1)
    assert all(one[1] == next_one[0] for one, next_one in pairwise(windows))


@pytest.mark.parametrize(
    ("since", "until", "size", "said"),
    [
        (date(2025, 1, 1), date(2025, 1, 1), "day", "until is exclusive"),
        (date(2025, 1, 1), date(2025, 2, 1), "hour", "write one of day, week"),
        (date(1900, 1, 1), date(2025, 1, 1), "day", "choose a larger window"),
    ],
)
def test_a_stretch_that_gives_no_windows_is_refused(since, until, size, said):
    with pytest.raises(WindowError, match=said):
        cut(since, until, size)


def test_a_text_that_is_no_day_is_refused_by_name():
    with pytest.raises(WindowError, match='since is "yesterday"; write a day'):
        day("since", "yesterday")


def test_windows_are_dealt_out_in_turn_and_no_lane_is_empty():
    assert deal([1, 2, 3, 4, 5], 2) == [[1, 3, 5], [2, 4]]
    assert deal([1], 4) == [[1]]
