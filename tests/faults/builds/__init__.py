"""The two releases that may come after this one, for the experiments with upgrades: started like the server, by
``python -m tests.faults.builds.expanding serve ...``.

- ``expanding``: new fields in slices that there are, a new room with a slice and a table, a column more in another
  room's table. It can read the next form of the wallet, and writes the present one.
- ``raising``: the same rooms, with the wallet in its next form.
"""
