"""Seeds and photos in one notation."""

from pathlib import Path

import pytest

from dcgan.config import is_stops, parse_stops
from dcgan.errors import UsageError, UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("me.png", "a,b.jpg", "7", "scan"):
        Path(name).touch()


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("3, 7-8", [3, 7, 8]),
        ("3,me.png,15", [3, Path("me.png"), 15]),
        ("a,b.jpg", [Path("a,b.jpg")]),
        ("7,./7,scan", [7, Path("7"), Path("scan")]),
    ],
)
def test_seeds_and_photos_are_told_apart(text, stops):
    assert is_stops(text)
    assert parse_stops(text, "--seeds") == stops


def test_a_photo_may_lie_in_the_home_folder(tmp_path):
    assert parse_stops("~/me.png", "--seeds") == [tmp_path / "me.png"]


def test_a_list_of_seeds_may_be_longer_than_the_name_of_a_file():
    text = ",".join(map(str, range(2000)))
    assert is_stops(text)
    assert parse_stops(text, "--seeds") == list(range(2000))


@pytest.mark.parametrize("text", ["x" * 300, "~nobody-of-this-name/x", "a\0b"])
def test_what_cannot_be_a_file_is_no_photo(text):
    assert not is_stops(text)
    for photo in (text + ".png", "3," + text + ".png"):
        with pytest.raises(UserError, match="there is no photo"):
            parse_stops(photo, "--seeds")


@pytest.mark.parametrize("text", ["label:7", "label:me.png", "label:you.png"])
def test_a_marked_label_is_no_photo(text):
    assert not is_stops(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("3,you.PNG", "--plus 3,you.PNG: there is no photo you.PNG"),
        ("8-3", "--plus 8-3: the range 8-3 runs backwards"),
    ],
)
def test_wrong_ones_are_named(text, error):
    assert is_stops(text)
    with pytest.raises(UserError, match=error):
        parse_stops(text, "--plus")


@pytest.mark.parametrize("text", ["smiling", "smiling=1,hat=0", "3,x", "-1", "", "3,"])
def test_other_words_are_none(text):
    assert not is_stops(text)
    with pytest.raises(UsageError, match=r"--plus .*: write numbers and ranges"):
        parse_stops(text, "--plus")
