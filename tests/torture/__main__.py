"""`python -m torture`, with `tests` on the path."""

from __future__ import annotations

import sys

from torture.run import main

if __name__ == "__main__":
    sys.exit(main())
