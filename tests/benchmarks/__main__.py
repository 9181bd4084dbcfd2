"""`python -m benchmarks`, with `tests` on the path."""

from __future__ import annotations

from benchmarks.run import main

if __name__ == "__main__":
    main()
