"""`python -m packaged DIST`: a wheel and a source distribution have what they should, and nothing else.

`--release v1.2.3` asks, too, whether the version may be published under that tag.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
NOT_SHIPPED = (".ci/", ".github/")
HOMES = re.compile(rb"/(?:home|root|Users|work)/[\w.-]+|/tmp/[\w.-]+")


def main() -> int:
    """Print what is wrong; return 0 if nothing is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--release", metavar="TAG")
    asked = parser.parse_args()
    faults = [*wheel_faults(asked.folder), *source_faults(asked.folder)]
    if asked.release is not None:
        faults += release_faults(asked.release)
    print(*faults, f"asynctract {VERSION}: {len(faults)} faults", sep="\n")
    return int(bool(faults))


def wheel_faults(folder: Path) -> Iterator[str]:
    """Yield how the wheel differs from the package as git has it."""
    files = wheel_files(folder / f"asynctract-{VERSION}-py3-none-any.whl")
    info = f"asynctract-{VERSION}.dist-info"
    told = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    package = {each.removeprefix("src/") for each in tracked("src/tract")}
    yield from differences("wheel", {*files}, {*package, *(f"{info}/{each}" for each in told)})
    for name in package & {*files}:
        if files[name] != (ROOT / "src" / name).read_bytes():
            yield f"wheel: {name} is another than in the sources"
        if found := HOMES.search(files[name]):
            yield f"wheel: {name} has a path of a machine: {found[0].decode()}"
    yield from metadata_faults(files.get(f"{info}/METADATA", b"").decode())


def source_faults(folder: Path) -> Iterator[str]:
    """Yield how the source distribution differs from what git has."""
    top = f"asynctract-{VERSION}"
    with tarfile.open(folder / f"{top}.tar.gz") as archive:
        members = archive.getmembers()
    names = {each.name.removeprefix(f"{top}/") for each in members if each.isfile()}
    expected = {each for each in tracked(".") if not each.startswith(NOT_SHIPPED)}
    yield from differences("source distribution", names, {*expected, "PKG-INFO"})
    yield from (
        f"source distribution: {each.name} is a link"
        for each in members
        if each.islnk() or each.issym()
    )


def metadata_faults(text: str) -> Iterator[str]:
    """Yield what an index would say of the package that is not as the project has it."""
    told = Parser().parsestr(text)
    extras = told.get_all("Provides-Extra") or []
    if sorted(extras) != sorted(PROJECT["optional-dependencies"]):
        yield f"metadata: the extras are {extras}"
    if told["Version"] != VERSION or told["Requires-Python"] != PROJECT["requires-python"]:
        yield f"metadata: {told['Version']} for {told['Requires-Python']}"
    if (ROOT / "README.md").read_text(encoding="utf-8").strip() not in text:
        yield "metadata: its text is not the README"


def release_faults(tag: str) -> Iterator[str]:
    """Yield why the version may not be published under a tag."""
    if tag != f"v{VERSION}":
        yield f"release: the tag is {tag}, the version {VERSION}"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        yield f"release: CHANGELOG.md has no dated heading of {VERSION}"


def differences(what: str, found: set[str], expected: set[str]) -> Iterator[str]:
    """Yield the names that one has and the other has not."""
    yield from (f"{what}: {each} is missing" for each in sorted(expected - found))
    yield from (f"{what}: {each} does not belong there" for each in sorted(found - expected))


def wheel_files(path: Path) -> Mapping[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tracked(folder: str) -> set[str]:
    """Return the files that git has, or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    return {each for each in listed.stdout.splitlines() if (ROOT / each).is_file()}


if __name__ == "__main__":
    sys.exit(main())
