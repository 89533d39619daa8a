"""The coordinator of a run: starts processes of players, watches the nodes, gathers what everybody says."""
