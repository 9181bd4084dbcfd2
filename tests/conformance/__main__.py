"""`python -m conformance`: run the frameworks' own tests with their store, and with ours in its place.

Without a path, the source distribution of the installed release is fetched from the package index.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.etree import ElementTree  # of a report that pytest wrote here

from conformance.suites import SUITES, Suite

_HERE = Path(__file__).parents[1]


class _Case(NamedTuple):
    """A test of a framework: the file that it is in, and its name with its module."""

    file: str
    name: str


_Results = dict[_Case, str]
"""How tests ended: passed, skipped or failed."""


def main() -> int:
    """Run a suite; return 0 if ours passes whatever theirs does."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("framework", choices=sorted(SUITES))
    parser.add_argument("checkout", type=Path, nargs="?")
    parser.add_argument("--ours", action="store_true", help="with our store alone, as CI does")
    options = parser.parse_args()
    suite = SUITES[options.framework]
    with TemporaryDirectory() as folder:
        checkout = options.checkout or _fetched(suite, Path(folder))
        files = suite.chosen(checkout)
        if not files:
            parser.error(f"{checkout.name} has no tests of a {suite.theirs}; name a checkout")
        theirs = None if options.ours else _run(suite, checkout, files)
        ours = _run(suite, checkout, files, "-p", suite.plugin)
        failed = _failed(suite, theirs, ours)
        if failed:  # a few look at the clock, which a busy machine has fail, with their store, too
            files = sorted({each.file for each in failed})
            again = _run(suite, checkout, files, "-p", suite.plugin)
            ours.update({each: again[each] for each in failed if each in again})
    return _told(suite, theirs, ours)


def _failed(suite: Suite, theirs: _Results | None, ours: _Results) -> list[_Case]:
    """Return what ours should pass and does not: what theirs passes, or all if that was not run."""
    if theirs is None:
        failed = [each for each, ended in ours.items() if ended == "failed"]
    else:
        passed = [each for each, ended in theirs.items() if ended == "passed"]
        failed = [each for each in passed if ours.get(each) != "passed"]
    return [each for each in failed if _reason(suite, each.name) is None]


def _told(suite: Suite, theirs: _Results | None, ours: _Results) -> int:
    """Say how a suite ended, and return the status to exit with."""
    told = {} if theirs is None else {suite.theirs: theirs}
    for name, results in {**told, "ours": ours}.items():
        passed = sum(each == "passed" for each in results.values())
        sys.stdout.write(
            f"{suite.distribution} {version(suite.distribution)}, {name}: {passed} of {len(results)} pass\n"
        )
    for each, ended in ours.items():
        if ended == "failed":
            sys.stdout.write(f"  {each.name}: {_reason(suite, each.name) or 'FAILED'}\n")
    return 1 if _failed(suite, theirs, ours) or not ours else 0


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


def _run(suite: Suite, checkout: Path, files: Sequence[str], *options: str) -> _Results:
    """Return how each test of some files ended."""
    pytest = (sys.executable, "-m", "pytest", "-q", "--numprocesses=auto", "-p", "no:cacheprovider")
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        kept = ("-o", "junit_family=xunit1", f"--junitxml={report}")  # which names the files
        command = [*pytest, *kept, *suite.options, *options, *files]
        subprocess.run(command, cwd=checkout, env=_environment(suite), check=False)
        cases = [*ElementTree.parse(report).iter("testcase")]
    named = [
        (case.get("file", ""), f"{case.get('classname')}::{case.get('name')}") for case in cases
    ]
    return {_Case(*name): _ended(case) for name, case in zip(named, cases, strict=True)}


def _ended(case: ElementTree.Element) -> str:
    told = {each.tag for each in case} - {"properties", "system-out", "system-err"}
    return "passed" if not told else "skipped" if told == {"skipped"} else "failed"


def _environment(suite: Suite) -> dict[str, str]:
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    # What is relative would lie in the checkout, whose tests may have the names of packages.
    path = os.pathsep.join(dict.fromkeys([str(_HERE), *map(os.path.abspath, given)]))
    return {**os.environ, "PYTHONPATH": path, "OPENAI_API_KEY": "none", **suite.environment}


if __name__ == "__main__":
    sys.exit(main())
