"""What a store is opened by: a path, `:memory:`, one of SQLite's URIs, or one of SQLAlchemy's URLs.

Each is reduced to a path and to those of SQLite's URI parameters with which a store can keep its
promises. Others are refused: SQLite ignores unknown parameters, and a store that was meant to be
read-only would write. https://www.sqlite.org/uri.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tract.exceptions import StorageError, shown

__all__ = ["Target", "immutable_uri", "lacks_permission", "parse_target"]

_MEMORY = ":memory:"
_TRUE, _FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off")
_VALUES: dict[str, tuple[str, ...]] = {
    "mode": ("ro", "rw", "rwc", "memory"),
    "cache": ("private",),
    "immutable": (*_TRUE, *_FALSE),
    "vfs": (),
}
"""The parameters and their values; the name of a VFS is for SQLite to check."""
_INSTEAD = {
    "cache=shared": "connections that share a cache fail where others wait. Leave it out, and let "
    "tasks share one store",
    "vfs=memdb": "a database in memory is opened by ':memory:'",
    "vfs=unix-none": "it takes no locks, so that processes would overwrite each other's commits",
    "timeout": "`TractConfig.busy_timeout` is the time to wait for other processes",
}
_DRIVE = re.compile(r"/[A-Za-z]:")


class Target(NamedTuple):
    """A database to open; *path* is `:memory:` for a new one in memory."""

    path: str
    parameters: Mapping[str, str] = {}

    @property
    def is_in_memory(self) -> bool:
        """Whether it is a database in memory."""
        return self.path == _MEMORY

    @property
    def is_immutable(self) -> bool:
        """Whether SQLite is told that nobody writes to the file, so that it reads no log."""
        return self.parameters.get("immutable", "0") in _TRUE

    @property
    def why_read_only(self) -> str | None:
        """The parameter that makes the store read-only, if any."""
        if self.is_immutable:
            return "immutable=1"
        return "mode=ro" if self.parameters.get("mode") == "ro" else None

    @property
    def has_vfs(self) -> bool:
        """Whether a VFS other than SQLite's default serves the file and its index."""
        return "vfs" in self.parameters

    def arguments(self) -> tuple[str, bool]:
        """Return the arguments for `sqlite3.connect`: a name, and whether it is a URI.

        It reads the current directory.
        """
        if self.is_in_memory:
            return _MEMORY, False
        path = os.path.abspath(self.path)
        if not self.parameters:
            return path, False
        query = "&".join(f"{name}={quote(value)}" for name, value in self.parameters.items())
        return f"{_uri(path)}?{query}", True


def parse_target(target: str | os.PathLike[str]) -> Target:
    """Return the database that *target* names. A `PathLike` is taken literally as a path.

    Raises:
        StorageError: it is malformed, names a database that is not SQLite, or has parameters that a
            store cannot be opened with.
    """
    if not isinstance(target, str):
        return _at(os.fsdecode(target))
    if target.startswith("file:"):
        return _of_uri(target)
    return _of_url(target) if "://" in target else _at(target)


def lacks_permission(path: str | os.PathLike[str]) -> bool:
    """Return True if this process may not write to the file or folder at *path*."""
    effective = os.access in os.supports_effective_ids
    return not os.access(path, os.W_OK, effective_ids=effective)


def immutable_uri(path: str) -> str:
    """Return the URI that opens the file at *path* without writing anything beside it."""
    return f"file:{quote(path)}?immutable=1"


def _at(path: str, parameters: Mapping[str, str] = {}) -> Target:
    if not path:
        raise StorageError("The path is empty. Give a path, ':memory:' or 'sqlite:///path'.")
    if "\0" in path:
        raise StorageError("A path cannot contain a null character. Give another path.")
    try:
        path.encode()
    except UnicodeEncodeError:  # SQLite stores file names as UTF-8
        raise StorageError(
            "A path cannot contain a lone surrogate, which is how Python decodes a byte that is "
            "not UTF-8. Give another path."
        ) from None
    return Target(path, parameters)


def _of_uri(uri: str, more: Iterable[tuple[str, str]] = ()) -> Target:
    """Return the database of a SQLite URI, with *more* parameters from beside it."""
    if "#" in uri:
        raise StorageError("The path of a URI ends at '#'. Write '#' as '%23' in the path.")
    place, _, query = uri.removeprefix("file:").partition("?")
    if place.startswith("//"):
        host, slash, rest = place[2:].partition("/")
        if host not in ("", "localhost"):
            raise StorageError(
                f"{shown(host)} stands where a URI has its host. Give 'file:path' or 'file:///path'."
            )
        place = slash + rest
    given = (item.partition("=") for item in query.split("&") if item)
    found = [(_unquoted(name), _unquoted(value)) for name, _, value in given]
    return _with(_unquoted(place), [*found, *more])


def _of_url(text: str) -> Target:
    url = _url(text)
    place = url.database or _MEMORY
    given = [(n, v) for n, values in url.normalized_query.items() for v in values if n != "uri"]
    is_uri = url.query.get("uri", "true")
    if is_uri in _TRUE and place.startswith("file:"):
        return _of_uri(place, given)
    if is_uri not in (*_TRUE, *_FALSE):
        raise _wrong_value("uri", _TRUE[2:3] + _FALSE[2:3])
    return _with(place, given)


def _url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _no_url() from None
    if url.get_backend_name() != "sqlite":
        raise StorageError(
            f"Databases of the kind {url.get_backend_name()!r} are not supported yet. "
            "Give a path, ':memory:' or 'sqlite:///path'."
        )
    if url.host or url.username or url.password or url.port:
        raise _no_url()
    return url


def _no_url() -> StorageError:
    return StorageError("This is not a database URL. Give a path, ':memory:' or 'sqlite:///path'.")


def _with(path: str, given: Iterable[tuple[str, str]]) -> Target:
    """Return the database at *path*, opened with the *given* parameters."""
    parameters: dict[str, str] = {}
    for name, value in given:
        if name in parameters:
            raise StorageError(f"The parameter {shown(name)} is given twice. Give it once.")
        parameters[name] = value.lower() if name == "immutable" else value
        _check(name, parameters[name])
    parameters.pop("cache", None)
    if parameters.get("mode") == "memory":
        return Target(_MEMORY)
    if parameters.get("immutable") in _TRUE:
        parameters["mode"] = "ro"  # otherwise SQLite would make a file, to which it could not write
    if os.name == "nt" and _DRIVE.match(path):
        path = path[1:]  # the slash is part of the URI, not of the path
    return _at(path, parameters)


def _check(name: str, value: str) -> None:
    """Raise for a parameter that a store cannot use. Its value is left out: it may be secret."""
    instead = _INSTEAD.get(name) or _INSTEAD.get(f"{name}={value}")
    if name not in _VALUES or instead:
        told = f"{name}={value}" if name in _VALUES else shown(name)
        raise StorageError(
            f"A path cannot take the parameter {told}: "
            f"{instead or 'a store takes mode, immutable and vfs'}."
        )
    if not value or (_VALUES[name] and value not in _VALUES[name]):
        raise _wrong_value(name, _VALUES[name])


def _wrong_value(name: str, values: Iterable[str]) -> StorageError:
    known = ", ".join(values) or "the name of a VFS"
    return StorageError(f"The parameter {name} of a path has an invalid value. Give {known}.")


def _unquoted(text: str) -> str:
    return unquote(text, errors="surrogateescape")


def _uri(path: str) -> str:
    """Return the URI of an absolute path; on Windows, too, slashes of an empty host precede it."""
    plain = path.replace(os.sep, "/")
    return f"file://{'' if plain.startswith('/') else '/'}{quote(plain, safe='/:')}"
