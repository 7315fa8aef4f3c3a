"""`python -m hive`: the same as the command `hive`."""

from __future__ import annotations

import sys

from hive.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
