"""`python -m typed.complete [MODULE]`: pyright finds the type of every public name of the package complete.

Or of one module of it. Adapters of frameworks that are not installed are left out; what they derive from is unknown then.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from support.frameworks import APART, lacking


def main(module: str = "tract") -> int:
    """Print what is incomplete; return 0 if nothing is."""
    command = ["pyright", "--outputjson", "--ignoreexternal", "--verifytypes", module]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    found: dict[str, Any] = json.loads(ran.stdout)["typeCompleteness"]
    exported = [symbol for symbol in found["symbols"] if symbol["isExported"]]
    faults = [
        f"{symbol['name']}: {each['message']}"
        for symbol in exported
        if lacking(symbol["name"]) is None
        for each in symbol["diagnostics"]
        if each["severity"] == "error"
    ]
    apart = [adapter for framework, adapter in APART.items() if lacking(framework)]
    print(*faults, f"{len(exported)} names, {len(faults)} faults; left out: {apart}", sep="\n")
    return int(bool(faults) or not exported)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
