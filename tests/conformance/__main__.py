"""`python -m conformance`: run the frameworks' own tests with their store, and with ours in its place.

Without a path, the source distribution of the installed release is fetched from the package index.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree  # of a report that pytest wrote here

from conformance.suites import SUITES, Suite

_HERE = Path(__file__).parents[1]


def main() -> int:
    """Run a suite twice; return 0 if ours passes whatever theirs does."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("framework", choices=sorted(SUITES))
    parser.add_argument("checkout", type=Path, nargs="?")
    options = parser.parse_args()
    suite = SUITES[options.framework]
    with TemporaryDirectory() as folder:
        checkout = options.checkout or _fetched(suite, Path(folder))
        if not suite.chosen(checkout):
            parser.error(f"{checkout.name} has no tests of a {suite.theirs}; name a checkout")
        theirs = _run(suite, checkout, Path(folder) / "theirs.xml")
        ours = _run(suite, checkout, Path(folder) / "ours.xml", "-p", suite.plugin)
    failed = sorted(name for name, passed in theirs.items() if passed and not ours.get(name))
    sys.stdout.write(
        f"{suite.distribution} {version(suite.distribution)}: {suite.theirs} passes "
        f"{sum(theirs.values())} of {len(theirs)}, ours {sum(ours.values())} of {len(ours)}\n"
    )
    reasons = {name: _reason(suite, name) for name in failed}
    unexplained = [name for name, reason in reasons.items() if reason is None]
    for name, reason in reasons.items():
        sys.stdout.write(f"  {name}: {reason or 'FAILED'}\n")
    return 1 if unexplained or not ours else 0


def _reason(suite: Suite, name: str) -> str | None:
    """Return why ours cannot pass a test, which is named with its module or alone."""
    return suite.others.get(name) or suite.others.get(name.rpartition("::")[2])


def _fetched(suite: Suite, folder: Path) -> Path:
    """Return the unpacked source distribution of the installed release."""
    wanted = f"{suite.distribution}=={version(suite.distribution)}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    subprocess.run([*command, "--dest", folder, wanted], check=True)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extraction_filter = getattr(tarfile, "data_filter", None)  # since 3.11.4
        opened.extractall(folder)
    return folder / archive.name.removesuffix(".tar.gz")


def _run(suite: Suite, checkout: Path, report: Path, *options: str) -> dict[str, bool]:
    """Return which tests passed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--numprocesses=auto",
        "-p",
        "no:cacheprovider",
    ]
    command += [f"--junitxml={report}", *suite.options, *options, *suite.chosen(checkout)]
    subprocess.run(command, cwd=checkout, env=_environment(suite), check=False)
    cases = ElementTree.parse(report).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": len(case) == 0 for case in cases}


def _environment(suite: Suite) -> dict[str, str]:
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    # What is relative would lie in the checkout, whose tests may have the names of packages.
    path = os.pathsep.join(dict.fromkeys([str(_HERE), *map(os.path.abspath, given)]))
    return {**os.environ, "PYTHONPATH": path, "OPENAI_API_KEY": "none", **suite.environment}


if __name__ == "__main__":
    sys.exit(main())
