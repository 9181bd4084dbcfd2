"""What a PostgreSQL store is opened by."""

from __future__ import annotations

import pytest

from tract import StorageError
from tract.storage.postgres.targets import parse_target


def test_a_plain_url_goes_to_the_driver_as_it_is() -> None:
    target = parse_target("postgresql://user:secret@host:5433/db?sslmode=require")

    assert target.url == "postgresql://user:secret@host:5433/db?sslmode=require"
    assert (target.schema, target.pooled, target.read_only) == ("public", False, False)


def test_our_own_parameters_do_not_reach_the_driver() -> None:
    target = parse_target("postgresql://host/db?schema=agents&pooler=transaction&mode=ro")

    assert target.url == "postgresql://host/db"
    assert (target.schema, target.pooled, target.read_only) == ("agents", True, True)


@pytest.mark.parametrize("name", ["postgres", "postgresql+asyncpg"])
def test_other_names_for_the_same_server_are_understood(name: str) -> None:
    assert parse_target(f"{name}://host/db").url == "postgresql://host/db"


def test_the_path_that_errors_show_has_no_password() -> None:
    assert "secret" not in parse_target("postgresql://user:secret@host/db").path


@pytest.mark.parametrize(
    "query", ["pooler=statement", "mode=memory", "schema=a&schema=b", "mode=ro&mode=rw"]
)
def test_a_value_that_a_parameter_cannot_have_is_refused(query: str) -> None:
    name = query.partition("=")[0]
    with pytest.raises(StorageError, match=f"`{name}`") as refusal:
        parse_target(f"postgresql://user:secret@host/db?{query}")

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host:port/db",
        "postgresql://host:65536/db",
        "postgresql://host:0/db",
        "postgresql://host:5432,other:99999/db",
        "postgresql://host/db?port=99999",
        "postgresql://host/db?port=many",
    ],
)
def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        parse_target(url)
