import json
import math

import pytest

from cyclegan.training.history import (
    HISTORY_FILE,
    Entry,
    History,
    best_of,
    count_plateaus,
    count_without_gain,
    read_history,
)


def history(*values):
    return tuple(Entry(10 * number, {"kid": value}) for number, value in enumerate(values, start=1))


def write_history(folder, entries):
    written = History(folder, 1000, pytest.fail)
    for entry in entries:
        written.add(entry)


def test_scores_come_back_from_their_file_in_the_same_bits(tmp_path):
    entries = (Entry(10, {"kid": 0.1 + 0.2, "ab/KID": -1e-17}), Entry(20, {"kid": 3.0, "ab/KID": 2.0}))
    write_history(tmp_path, entries)
    assert read_history(tmp_path, 20) == entries
    assert json.loads((tmp_path / HISTORY_FILE).read_text().splitlines()[1]) == {"step": 20, "kid": 3, "ab/KID": 2}


def test_scores_of_another_protocol_are_not_compared(tmp_path):
    entries = (Entry(10, {"kid": 0.5}, "one"), Entry(20, {"kid": 0.7}, "two"), Entry(20, {"health/ab/grid": 0.0}))
    write_history(tmp_path, entries)
    again = History(tmp_path, 20, pytest.fail)
    assert again.scored_by("two") == entries[1:2]
    assert best_of(again.entries, "kid") == entries[0] and best_of(again.scored_by("two"), "kid") == entries[1]
    assert best_of(again.entries, "swd") is None


def test_scores_of_later_steps_are_left_out(tmp_path):
    write_history(tmp_path, history(3, 2, 1))
    assert read_history(tmp_path, 29) == history(3, 2)


def test_a_session_goes_on_where_the_one_before_was_saved(tmp_path):
    write_history(tmp_path, history(3, 2, 1))
    again = History(tmp_path, 20, pytest.fail)
    assert again.entries == history(3, 2)
    again.add(Entry(30, {"kid": 5}))
    assert read_history(tmp_path, 100) == again.entries == history(3, 2, 5)


def test_numbers_that_json_does_not_have_are_left_out(tmp_path):
    write_history(tmp_path, [Entry(10, {"kid": 0.5, "swd": math.nan, "frechet": math.inf})])
    assert read_history(tmp_path, 100) == (Entry(10, {"kid": 0.5}),)
    (tmp_path / HISTORY_FILE).write_text('{"step": 10, "kid": NaN, "swd": 2}\n')  # as an earlier version wrote them
    assert read_history(tmp_path, 100) == (Entry(10, {"swd": 2}),)


def test_what_was_found_on_a_way_that_was_given_up_does_not_come_back(tmp_path):
    write_history(tmp_path, history(3, 2, 1))
    again = History(tmp_path, 20, pytest.fail)
    again.settle()
    assert History(tmp_path, 100, pytest.fail).entries == history(3, 2)
    before = (tmp_path / HISTORY_FILE).stat().st_ino
    History(tmp_path, 20, pytest.fail).settle()
    assert (tmp_path / HISTORY_FILE).stat().st_ino == before  # there was nothing to forget


def test_what_cannot_be_written_is_reported_and_still_known(tmp_path):
    (tmp_path / HISTORY_FILE).mkdir()
    lines = []
    unwritable = History(tmp_path, 0, lines.append)
    unwritable.add(Entry(10, {"kid": 3}))
    unwritable.add(Entry(20, {"kid": 2}))  # it is said once
    assert lines == [f"{tmp_path / HISTORY_FILE} cannot be written: Is a directory. Training goes on."]
    assert unwritable.entries == history(3, 2)


def test_a_damaged_file_is_kept_and_named(tmp_path):
    write_history(tmp_path, history(3, 2))
    text = (tmp_path / HISTORY_FILE).read_text() + '{"step": 3'
    (tmp_path / HISTORY_FILE).write_text(text)
    lines = []
    settled = History(tmp_path, 20, lines.append)
    settled.settle()
    assert settled.entries == read_history(tmp_path, 100) == history(3, 2)
    assert (tmp_path / f"{HISTORY_FILE}.damaged").read_text() == text
    (line,) = lines
    assert "is damaged: 1 of its 3 lines cannot be read. A copy is kept in" in line
    History(tmp_path, 20, pytest.fail).settle()


def test_damaged_lines_are_passed_over(tmp_path):
    write_history(tmp_path, history(3))
    with (tmp_path / HISTORY_FILE).open("ab") as file:
        file.write(b'[]\n{"kid": 1}\n{"step": Infinity}\n{"step": 15, "kid": "high"}\n\xff\n')
        file.write(b'{"step": 20, "kid": 2.0}\n{"step": 30, "k')
    assert read_history(tmp_path, 100) == history(3, 2)


def test_a_run_without_scores_has_no_history(tmp_path):
    assert read_history(tmp_path, 100) == ()


@pytest.mark.parametrize(
    ("values", "expected"),
    [((), 0), ((3,), 0), ((3, 2, 1), 0), ((3, 1, 2, 2), 2), ((3, 1, 1), 1), ((1, 2, 3, 0.5), 0), ((1, 2, 3, 2), 3)],
)
def test_entries_without_gain_are_counted_since_the_best(values, expected):
    assert count_without_gain(history(*values), "kid") == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [((3, 2, 1), 0), ((1, 2), 0), ((1, 2, 2), 1), ((1, 2, 2, 2), 1), ((1, 2, 2, 2, 2), 2), ((1, 2, 0, 2, 2), 1)],
)
def test_a_plateau_is_two_entries_in_a_row_without_gain(values, expected):
    assert count_plateaus(history(*values), "kid", patience=2) == expected


def test_entries_without_the_metric_do_not_count():
    entries = (*history(1), Entry(20, {"swd": 5.0}))
    assert count_without_gain(entries, "kid") == 0
    assert count_plateaus(entries, "kid", patience=1) == 0
