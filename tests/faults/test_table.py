"""The table of docs/reliability.md: what was measured again replaces what was measured before."""

from pathlib import Path

from tests.faults.conftest import BEGIN, END, HEAD, write_table


def test_a_row_takes_the_place_of_the_one_with_its_fault_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\n{END}\n\nafter\n", "utf-8")

    write_table(page, {"a kill": "| a kill | 1 |", "a cut": "| a cut | 1 |"})
    write_table(page, {"a kill": "| a kill | 2 |", "a pause": "| a pause | 1 |"})

    rows = "| a kill | 2 |\n| a cut | 1 |\n| a pause | 1 |"
    assert page.read_text("utf-8") == f"before\n\n{BEGIN}\n\n{HEAD}\n{rows}\n\n{END}\n\nafter\n"
