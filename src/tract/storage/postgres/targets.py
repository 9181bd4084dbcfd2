"""What a PostgreSQL store is opened by: a URL, with a few parameters of our own."""

from __future__ import annotations

import re
from typing import NamedTuple

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tract.exceptions import StorageError

__all__ = ["PostgresTarget", "parse_target", "quoted", "shown"]

_DEFAULT_SCHEMA = "public"
_PLACES = ("host", "port")
"""The parameters that errors show; another may be a password."""
_SEVERAL = re.compile(r"([\w+]+://(?:[^:/@]*(?::[^@]*)?@)?)([^/?@]*,[^/?@]*)(.*)", re.DOTALL)
_OURS = {"schema": None, "pooler": ("session", "transaction"), "mode": ("ro", "rw")}


class PostgresTarget(NamedTuple):
    """A database to connect to; *path* names it without the password."""

    url: str
    """What the driver connects to."""

    path: str
    schema: str = _DEFAULT_SCHEMA
    """The schema that holds the tables."""

    pooled: bool = False
    """Whether a pooler gives each transaction another connection of the server."""

    read_only: bool = False


def quoted(name: str) -> str:
    """Return a name as SQL writes it, for where nothing can be bound."""
    return '"' + name.replace('"', '""') + '"'


def parse_target(given: str | URL) -> PostgresTarget:
    """Return what a `postgresql://` URL names.

    `schema=` names the schema of the tables, `mode=ro` opens the store read-only, and
    `pooler=transaction` says that a pooler such as PgBouncer stands between, in transaction mode.
    The driver takes all other parameters.

    Raises:
        StorageError: the URL cannot be read, or a parameter has a value that it cannot have.
    """
    try:
        url = _of_several(given) if isinstance(given, str) else given
        _check_ports(url)
    except (ArgumentError, ValueError):
        raise StorageError(
            "the URL cannot be read. Use `postgresql://user@host/database`."
        ) from None
    path = shown(url.set(drivername="postgresql"))
    ours = {name: value for name, value in url.query.items() if name in _OURS}
    for name, value in ours.items():
        allowed = _OURS[name]
        if not isinstance(value, str) or (value not in allowed if allowed else not value):
            raise StorageError(
                f"the URL's `{name}` must be given once, as {' or '.join(allowed or ('a name',))}.",
                path,
            )
    rest = url.difference_update_query([*_OURS])
    plain = rest.set(drivername="postgresql").render_as_string(hide_password=False)
    return PostgresTarget(
        plain,
        path,
        str(ours.get("schema", _DEFAULT_SCHEMA)),
        pooled=ours.get("pooler") == "transaction",
        read_only=ours.get("mode") == "ro",
    )


def shown(url: URL) -> str:
    """Return a URL as errors name it."""
    places = {name: url.query[name] for name in _PLACES if name in url.query}
    return url.set(query=places).render_as_string(hide_password=True)


def _check_ports(url: URL) -> None:
    """Raise a `ValueError` for a port that there cannot be, which a socket would only overflow on."""
    several = url.query.get("port", "")
    named = several.split(",") if isinstance(several, str) else several
    if not all(0 < int(port) < 65_536 for port in (url.port, *named) if port not in (None, "")):
        raise ValueError("port")


def _of_several(given: str) -> URL:
    """Parse a URL, which may name several hosts, as `host1:5432,host2:5432`."""
    found = _SEVERAL.fullmatch(given)
    if found is None:
        return make_url(given)
    before, named, after = found.groups()
    places = [re.fullmatch(r"(.*?)(?::(\d*))?", each) for each in named.split(",")]
    hosts, ports = zip(*(place.groups() for place in places if place), strict=True)
    places_of = {"host": ",".join(hosts), "port": ",".join(port or "5432" for port in ports)}
    return make_url(before + after).update_query_dict(places_of)
