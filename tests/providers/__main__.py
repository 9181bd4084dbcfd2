"""`nox -s exchanges -- PATH`: recorded exchanges through a store, and what passed by API and provider."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter, defaultdict
from pathlib import Path

from providers import exchanges
from providers.continuations import continuations
from providers.exchanges import Exchange
from providers.passages import Passage, passages


async def _all(recorded: list[Exchange]) -> list[Passage]:
    return [*await passages(recorded), *await continuations(recorded)]


def main() -> int:
    """Print what passed and what was tried, by API and provider, and why the rest did not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=exchanges.path())
    path = parser.parse_args().path
    if not path.is_file():
        sys.exit(f"no exchanges at {path}")
    done = asyncio.run(_all(list(exchanges.read(path))))
    tried: Counter[tuple[str, str]] = Counter()
    failed: defaultdict[tuple[str, str], list[Passage]] = defaultdict(list)
    for passage in done:
        key = (passage.exchange.api, passage.exchange.provider)
        tried[key] += 1
        if passage.problem is not None:
            failed[key].append(passage)
    for key in sorted(tried):
        print(f"{key[0]:28} {key[1]:12} {tried[key] - len(failed[key]):5} of {tried[key]}")
        for passage in failed[key]:
            print(f"    {passage.exchange.id} ({passage.what}): {passage.problem}")
    passed = len(done) - sum(map(len, failed.values()))
    print(f"{passed} of {len(done)} passages and continuations hold")
    return 0 if passed == len(done) else 1


if __name__ == "__main__":
    sys.exit(main())
