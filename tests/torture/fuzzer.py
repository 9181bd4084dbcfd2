"""One process of the fuzzer: `python -m torture.fuzzer TARGET FOLDER [libFuzzer's options]`.

It goes on from the inputs in FOLDER and those in the repository's corpus, adds those to FOLDER
that reach code which none did before, and ends with an error at the first input that breaks a
promise. Where there is no atheris it only tries what it makes of the corpus at random.
"""

from __future__ import annotations

import random
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

__all__ = ["CORPUS", "main"]

CORPUS = Path(__file__).with_name("corpus")
_LONGEST = 400
_ALWAYS = (f"-max_len={_LONGEST}", "-len_control=0", "-timeout=60", "-rss_limit_mb=4096")


def main(arguments: Sequence[str]) -> None:
    """Fuzz until an option says to stop; this ends the process."""
    name, *rest = arguments
    if find_spec("atheris") is None:
        sys.stderr.write("atheris is not installed: inputs are random, not led by coverage\n")
        _fuzz_blindly(name, rest)
        return
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["tract"]):
        rig = import_module("torture.targets").Rig()  # not closed: libFuzzer ends the process
    command = shlex.join([sys.executable, "-m", "torture.fuzzer", name])  # which it may run again
    atheris.Setup([command, *_ALWAYS, *rest, str(CORPUS / name)], rig.targets[name])
    atheris.Fuzz()


def _fuzz_blindly(name: str, arguments: Sequence[str]) -> None:
    """Do what libFuzzer's options say, as far as `-max_total_time`, `-seed` and files go."""
    options = dict(item[1:].split("=") for item in arguments if item.startswith("-"))
    dice = random.Random(options.get("seed"))
    with import_module("torture.targets").Rig() as rig:
        until = monotonic() + float(options.get("max_total_time", "inf"))
        for count, data in enumerate(_inputs(CORPUS / name, dice)):
            if monotonic() >= until:
                sys.stderr.write(f"stat::number_of_executed_units: {count}\n")
                return
            _try(rig.targets[name], data, options.get("artifact_prefix", ""))


def _inputs(corpus: Path, dice: random.Random) -> Iterator[bytes]:
    """Yield the corpus, then parts of it put together, with random bytes between."""
    saved = [path.read_bytes() for path in sorted(corpus.iterdir())]
    yield from saved
    while True:
        first, second = (dice.choice([*saved, dice.randbytes(40)]) for _ in range(2))
        cut, stop = dice.randint(0, len(first)), dice.randint(0, len(second))
        middle = dice.randbytes(dice.randint(0, 8))
        yield (first[:cut] + middle + second[stop:])[:_LONGEST]


def _try(target: Callable[[bytes], None], data: bytes, prefix: str) -> None:
    try:
        target(data)
    except BaseException:
        Path(f"{prefix}crash").write_bytes(data)
        sys.stderr.write(f"input in {prefix}crash\n")
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
