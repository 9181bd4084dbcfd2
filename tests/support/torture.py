"""The short forms of `nox -s torture`, as tests run them."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from support.postgres.shared import Run as Servers
from torture.model import Fault, Report, inject


async def short_form(fault: Fault[Any], folder: Path, servers: Servers | None = None) -> Report:
    """Inject *fault* with its small sizes, fail with its findings, and return its report."""
    seed = 0 if "CI" in os.environ else random.SystemRandom().randrange(2**32)
    report = await inject(fault, Report(folder, servers=servers), quick=True, seed=seed)
    found = "\n".join(report.findings)

    assert report.sound, f"--only {fault.name} --quick --seed {seed}: {found}"
    assert (report.lost, report.unusable) == (0, 0)
    return report
