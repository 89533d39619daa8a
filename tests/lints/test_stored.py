"""What is kept or sent between nodes may come from a newer release, with fields that this one does not know."""

import ast

from tests.lints.sources import modules, place


def test_only_what_comes_from_people_refuses_unknown_fields() -> None:
    """Orders of staff and settings are the server's; a struct of the layers below may lie in a table, where refusing
    it would cost the actor, or the board, or the whole row."""
    strict = [
        place(path, node.value)
        for path, tree in modules("protocol", "storage", "actors")
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "forbid_unknown_fields"
    ]

    assert strict == []
