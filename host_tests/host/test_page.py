"""Figures get to their place in a page, and to no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from sesstab_tools.errors import BoardError
from sesstab_tools.page import markdown, write

MARKS = "<!-- make bench: begin -->\nold\n<!-- make bench: end -->"
NAMED = "<!-- make bench: boards begin -->\nold\n<!-- make bench: boards end -->"


def test_a_table_has_its_numbers_to_the_right() -> None:
    assert markdown(["a", "b"], [["hit", "1"]]) == "| a | b |\n| --- | --: |\n| hit | 1 |"


def test_a_report_replaces_what_is_between_the_marks_of_its_name(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"first\n{MARKS}\nbetween\n{NAMED}\nlast\n")
    write(page, "new", "boards")
    write(page, "newer", "boards")
    after = NAMED.replace("\nold\n", "\n\nnewer\n\n")
    assert page.read_text() == f"first\n{MARKS}\nbetween\n{after}\nlast\n"


@pytest.mark.parametrize("text", ["", MARKS + MARKS, MARKS.partition("<!-- make bench: end")[0]])
def test_a_page_without_a_pair_of_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(BoardError, match="must be one <!-- make bench: begin -->"):
        write(page, "new")
    assert page.read_text() == text
