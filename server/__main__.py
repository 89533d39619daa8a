"""``python -m server``: the same as the ``guildhall`` command."""

import sys

from server.cli import main

sys.exit(main())
