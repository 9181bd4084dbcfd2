"""Secrets stay out: a string at a key that names a credential never reaches the store."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import sqlite3
import traceback
from collections.abc import AsyncIterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from tract import (
    AsyncTract,
    CommitInfo,
    CommitOperation,
    ContentValidationError,
    NullTokenCounter,
    StorageError,
    TokenUsage,
    TractConfig,
    TractStore,
)
from tract.history.canonical import canonical_json
from tract.history.redaction import DEFAULT_REDACT_KEYS, REDACTED, Redactor, folded

EDIT = CommitOperation.EDIT
COUNTER = NullTokenCounter()
SECRET = "sk-9f8e7d6c5b4a"
LARGE = ["padding"] * 5_000
SAID = {"content_type": "dialogue", "role": "assistant", "text": "hi"}

CREDENTIALS = [
    *("my_id_token", "googleIdToken", "GH_TOKEN_2", "user-gh-token", "x_co_api_key"),
    *("api_key", "apiKey", "apikey", "API-KEY", "Api Key", "x-api-key", "X_API_KEY", "api-key"),
    *("authorization", "Authorization", "proxy-authorization", "auth", "bearer", "Bearer Token"),
    *("access_token", "accessToken", "refresh_token", "id_token", "auth_token", "session-token"),
    *("password", "PASSWD", "passphrase", "secret", "client_secret", "private_key", "secretKey"),
    *("credentials", "cookie", "Set-Cookie", "aws_secret_access_key", "aws_session_token"),
    *("aws_access_key", "aws_secret_key", "azure_ad_token", "azure_ad_token_provider"),
    *("x-goog-api-key", "Ocp-Apim-Subscription-Key", "x-amz-security-token", "webhook_secret"),
    *("openai_api_key", "ANTHROPIC_API_KEY", "_api__key_", "service_account_info", "hf_token"),
    *("HUGGING_FACE_HUB_TOKEN", "NOTION_TOKEN", "SLACK_APP_TOKEN", "X-Vault-Token", "http_auth"),
    *("LITELLM_MASTER_KEY", "aws_web_identity_token", "x-functions-key", "api_key_string"),
    *("access_tokens", "private_keys", "API_KEY_2", "password2", "OAuth2 Token", "passcode"),
]
HARMLESS = [
    *("fim_mid_token", "invalid_token", "half_token", "midToken", "tokenAid"),
    *("max_tokens", "token_count", "logit_bias", "presence_penalty", "prompt_tokens", "token"),
    *("tokens", "max_completion_tokens", "budget_tokens", "stop_token_ids", "key", "keys", "model"),
    *("user", "session_id", "authority", "author", "secretary", "api_key_count"),
    *("eos_token", "stop_token", "next_page_token", "image_token", "key_1", "token2", "2", "fp8"),
    *("prompt_cache_key", "safety_identifier", "seed", "bearing", "credit", "api.key", "", "-"),
]


class Header(StrEnum):
    KEY = "api-key"


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=COUNTER, tract_id="agent") as opened:
        yield opened


def on_disk(path: Path) -> bytes:
    """Return every byte of the database's files, the write-ahead log's among them."""
    files = sorted(path.parent.glob(f"{path.name}*"))

    assert files
    return b"".join(file.read_bytes() for file in files)


def with_secrets(*, large: bool = False) -> dict[str, Any]:
    """Return arguments as a client takes them, with secrets at every depth."""
    return {
        "model": "gpt-4o",
        "api_key": SECRET,
        "max_tokens": 100,
        "extra_headers": {"Authorization": f"Bearer {SECRET}", "X-Trace": "7"},
        "tools": [
            {"name": "search", "auth": {"user": "me", "password": SECRET}},
            [{"jwt": SECRET}],
        ],
        "credentials": {"nested": {"list": [SECRET]}},
        "padding": LARGE if large else [],
    }


def without(config: dict[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "api_key": REDACTED,
        "extra_headers": {"Authorization": REDACTED, "X-Trace": "7"},
        "tools": [
            {"name": "search", "auth": {"user": REDACTED, "password": REDACTED}},
            [{"jwt": REDACTED}],
        ],
        "credentials": {"nested": {"list": [REDACTED]}},
    }


async def committed(tract: AsyncTract, way: str, options: dict[str, Any]) -> CommitInfo:
    if way == "commit":
        return await tract.commit(SAID, **options)
    if way == "edit":
        target = (await tract.user("first")).commit_hash
        return await tract.commit(SAID, operation=EDIT, edit_target=target, **options)
    async with tract.batch() as batch:
        staged = batch.commit(SAID, **options)
    return staged.info


# what is stored


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("field", ["generation_config", "metadata"])
@pytest.mark.parametrize("way", ["commit", "edit", "batch"])
async def test_a_secret_reaches_neither_the_disk_nor_the_result(
    tract: AsyncTract, db_path: Path, way: str, field: str, large: bool
) -> None:
    given = with_secrets(large=large)
    info = await committed(tract, way, {field: given})
    configs = (await tract.compile()).generation_configs
    open_files = on_disk(db_path)
    await tract.aclose()

    assert getattr(info, field) == without(given)
    assert configs[-1] == (without(given) if field == "generation_config" else {})
    assert REDACTED.encode() in open_files
    assert SECRET.encode() not in open_files + on_disk(db_path)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
async def test_a_stream_spools_no_secret(tract: AsyncTract, db_path: Path, large: bool) -> None:
    """What is spooled stays on the disk after a kill, and for a while after a commit."""
    given = with_secrets(large=large)
    async with tract.stream(metadata=given, generation_config=given) as stream:
        await stream.write("half")
        async with asyncio.timeout(20):
            while b"half" not in on_disk(db_path):  # noqa: ASYNC110 - nobody would tell us
                await asyncio.sleep(0.05)
        open_files = on_disk(db_path)

    info = stream.commit_info
    assert info is not None
    assert info.metadata == info.generation_config == without(given)
    assert REDACTED.encode() in open_files
    assert SECRET.encode() not in open_files + on_disk(db_path)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
async def test_the_callers_own_dict_keeps_its_secrets(tract: AsyncTract, large: bool) -> None:
    given = with_secrets(large=large)
    before = copy.deepcopy(given)
    await tract.commit(SAID, generation_config=given, metadata=given)

    assert given == before


class Report(BaseModel):
    """A usage as a provider's SDK gives it, with a field that nobody knew of."""

    model_config = ConfigDict(extra="allow")

    prompt_tokens: int
    completion_tokens: int


@pytest.mark.parametrize("kind", [dict, Report])
async def test_a_secret_in_a_usage_report_is_not_kept(
    tract: AsyncTract, db_path: Path, kind: type[Any]
) -> None:
    await tract.user("hi")
    report = kind(prompt_tokens=3, completion_tokens=4, request={"headers": {"X-Api-Key": SECRET}})
    context = await tract.record_usage(report)
    with closing(sqlite3.connect(db_path)) as connection:
        [[stored]] = connection.execute("SELECT raw_json FROM usage")

    assert context.token_source == "api:3+4"
    assert json.loads(stored)["request"] == {"headers": {"X-Api-Key": REDACTED}}
    assert SECRET.encode() not in on_disk(db_path)


async def test_a_secret_in_the_usage_of_a_response_is_not_kept(
    tract: AsyncTract, db_path: Path
) -> None:
    async def response() -> AsyncIterator[dict[str, Any]]:
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "request": {"api_key": SECRET}}
        yield {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
        yield {"choices": [], "usage": usage}

    sent = await tract.user("hi")
    async for _ in tract.record_openai(response()):
        pass

    context = await tract.compile(at_commit=sent.commit_hash)
    assert context.token_source == "api:3+4"
    assert SECRET.encode() not in on_disk(db_path)


@pytest.mark.parametrize("redact", [True, False])
async def test_a_recording_spools_no_secret_of_a_usage_report(
    tract: AsyncTract, db_path: Path, redact: bool
) -> None:
    """Anthropic reports at the beginning of a stream, long before there is a commit."""
    usage = {"input_tokens": 3, "output_tokens": 0, "request": {"api_key": SECRET}}
    shown: list[bool] = []

    async def response() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "message_start", "message": {"id": "m", "usage": usage}}
        block = {"type": "text", "text": "half"}
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        async with asyncio.timeout(20):
            found = b""
            while b"half" not in found:
                await asyncio.sleep(0.05)  # nobody would tell us
                found = await asyncio.to_thread(on_disk, db_path)
        shown.append(SECRET.encode() in found)

    async for _ in tract.record_anthropic(response(), redact=redact):
        pass

    assert shown == [not redact]


async def test_the_counts_of_a_usage_are_what_was_reported_whatever_is_redacted(
    target: Path | str,
) -> None:
    config = TractConfig(redact_keys=frozenset({"prompt tokens"}))
    async with AsyncTract.open(target, config=config, tokenizer=COUNTER) as tract:
        await tract.user("hi")

        assert (await tract.record_usage(TokenUsage(3, 4))).token_source == "api:3+4"


@pytest.mark.parametrize(
    "value",
    [SecretStr(SECRET), lambda: SECRET, object(), b"x"],
    ids=["secret", "function", "object", "bytes"],
)
async def test_what_json_cannot_hold_is_redacted_at_such_a_key(
    tract: AsyncTract, value: Any
) -> None:
    """Clients wrap their keys, or take functions that return them."""
    info = await tract.commit(SAID, generation_config={"api_key": value, "api_keys": [value]})

    assert info.generation_config == {"api_key": REDACTED, "api_keys": [REDACTED]}


async def test_strings_are_secrets_at_every_depth_below_such_a_key(tract: AsyncTract) -> None:
    given = {"user": "me", "expires_in": 3600, "renew": True, "scopes": ["a", ["b", 1.5, None]]}
    info = await tract.commit(SAID, metadata={"credentials": given})

    assert info.metadata == {
        "credentials": {
            "user": REDACTED,
            "expires_in": 3600,
            "renew": True,
            "scopes": [REDACTED, [REDACTED, 1.5, None]],
        }
    }


AZURE_DATA: dict[str, Any] = {
    "data_sources": [
        {
            "type": "azure_search",
            "parameters": {"index_name": "i", "authentication": {"type": "api_key", "key": SECRET}},
        }
    ]
}


async def test_the_key_of_azures_data_sources_is_a_secret(tract: AsyncTract) -> None:
    """It stands at `key`, which says nothing by itself."""
    info = await tract.commit(SAID, generation_config=AZURE_DATA)

    [source] = (info.generation_config or {})["data_sources"]
    assert source["parameters"] == {
        "index_name": "i",
        "authentication": {"type": REDACTED, "key": REDACTED},
    }


# what is kept


@pytest.mark.parametrize(
    "value", [None, "", 5, 0.5, True, [], {}, [1, None], {"max_age": 60}], ids=repr
)
async def test_what_is_no_string_is_a_parameter_whatever_its_key(
    tract: AsyncTract, value: Any
) -> None:
    given = {
        "api_key": value,
        "num_cookies": 3,
        "require_password": True,
        "logit": [{"jwt": value}],
    }
    info = await tract.commit(SAID, generation_config=given, metadata=given)

    assert info.generation_config == info.metadata == given


PARAMETERS = {
    "type": "object",
    "title": "Login",
    "properties": {
        "user": {"type": "string"},
        "password": {"type": "string", "minLength": 8, "default": "hunter2", "x-ui": "masked"},
        "auth": {"enum": ["basic", "oauth"], "description": "How to log in."},
        "credentials": {"anyOf": [{"$ref": "#/$defs/Key"}, {"type": "null"}], "default": None},
        "secret": {"description": "Any value."},
        "cookies": {"type": ["array", "null"], "items": {"type": "string"}, "examples": [["a=b"]]},
        "cookie": True,
    },
    "required": ["password"],
    "dependentRequired": {"password": ["user"]},
    "$defs": {"Key": {"type": "object", "properties": {"api_key": {"const": "demo"}}}},
    "examples": [{"user": "ann", "password": "hunter2"}],
}
SCHEMAS: dict[str, Any] = {
    "Chat Completions": {
        "tools": [
            {
                "type": "function",
                "function": {"name": "set_password", "strict": True, "parameters": PARAMETERS},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "set_password"}},
    },
    "Responses": {"tools": [{"type": "function", "name": "log_in", "parameters": PARAMETERS}]},
    "Anthropic": {
        "tools": [
            {
                "name": "log_in",
                "input_schema": PARAMETERS,
                "input_examples": [{"user": "ann", "password": "hunter2"}],
            }
        ]
    },
    "structured output": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "credentials", "strict": True, "schema": PARAMETERS},
        }
    },
    "Gemini": {
        "response_schema": {
            "type": "OBJECT",
            "properties": {"password": {"type": "STRING", "any_of": [{"type": "STRING"}]}},
            "property_ordering": ["password"],
        }
    },
    "MCP": {
        "inputSchema": PARAMETERS,
        "outputSchema": {"patternProperties": {"jwt": {"type": "string"}}},
    },
    "at such a key": {
        "args": {"password": {"type": "string"}, "credentials": {**PARAMETERS, "x-order": ["a"]}}
    },
    "Cohere, with Python's types": {
        "tools": [
            {
                "name": "log_in",
                "parameter_definitions": {
                    "password": {"description": "It is secret.", "type": "str", "required": True}
                },
            }
        ]
    },
    "smolagents": {"inputs": {"password": {"type": "any", "description": "It is secret."}}},
    "of definitions alone": {"definitions": {"password": {"type": "string", "pattern": "^a"}}},
}


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("name", SCHEMAS)
async def test_nothing_in_a_json_schema_is_touched(
    tract: AsyncTract, name: str, large: bool
) -> None:
    """Tools take passwords, and structured outputs have them; the call can be made again."""
    given = {"model": "m", "padding": LARGE if large else [], **SCHEMAS[name]}
    info = await tract.commit(SAID, generation_config=given, metadata=given)

    assert info.generation_config == info.metadata == given


RESEMBLING: dict[str, dict[str, Any]] = {
    "a server": {"type": "mcp", "server_url": "u", "headers": {"Authorization": SECRET}},
    "a type and more": {"type": "object", "password": SECRET},
    "a type and headers": {"type": "object", "headers": {"X-Api-Key": SECRET}},
    "a type and a value": {"auth": {"type": "string", "value": SECRET}},
    "properties that are values": {"properties": {"password": SECRET}},
    "properties that are objects": {"properties": {"db": {"password": SECRET}}},
    "a value among properties": {"properties": {"a": {"type": "string"}, "api_key": SECRET}},
    "definitions of values": {"$defs": {"a": {"credentials": {"type": "basic", "token": SECRET}}}},
    "a key beside properties": {"properties": {"a": {"type": "string"}}, "api_key": SECRET},
    "parameters of a call": {"parameters": {"api_key": SECRET, "max_new_tokens": 5}},
    "examples without a schema": {"name": "find", "input_examples": [{"password": SECRET}]},
    "credentials beside a schema": {
        "credentials": {"input_schema": PARAMETERS, "token": SECRET, "user": "me"}
    },
    "examples beside no schema": {"input_schema": None, "input_examples": [{"password": SECRET}]},
    "a key beside a schema": {
        "name": "find",
        "input_schema": PARAMETERS,
        "auth": {"token": SECRET},
    },
}


@pytest.mark.parametrize("name", RESEMBLING)
async def test_what_only_resembles_a_schema_keeps_no_secret(tract: AsyncTract, name: str) -> None:
    given = RESEMBLING[name]
    info = await tract.commit(SAID, generation_config=given, metadata={"tools": [given]})

    assert REDACTED in str(info.generation_config)
    assert SECRET not in str(info.generation_config) + str(info.metadata)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from([*CREDENTIALS, *HARMLESS, "type", "properties", "$defs", "items", "enum"])
JSON = st.recursive(
    PLAIN | st.sampled_from(["", "s3cret", "object", "string", REDACTED]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=4)


def redacted(value: Any) -> Any:
    return json.loads(canonical_json(value, "", Redactor()))


def secrets_of(value: Any, *, secret: bool = False) -> list[str]:
    """Return the strings at and below keys that name credentials, schemas' included."""
    if isinstance(value, str):
        return [value] if secret and value else []
    if isinstance(value, list):
        return [found for item in value for found in secrets_of(item, secret=secret)]
    if not isinstance(value, dict):
        return []
    return [
        found
        for key, item in value.items()
        for found in secrets_of(item, secret=secret or Redactor().hides(key))
    ]


@given(OBJECTS)
def test_a_value_without_a_string_below_such_a_key_is_never_changed(value: dict[str, Any]) -> None:
    if not secrets_of(value):
        assert redacted(value) == value


@given(OBJECTS)
def test_redacting_twice_is_redacting_once(value: dict[str, Any]) -> None:
    once = redacted(value)

    assert redacted(once) == once


@given(OBJECTS)
def test_redaction_changes_strings_alone_and_each_into_the_stand_in(value: dict[str, Any]) -> None:
    def check(before: Any, after: Any) -> None:
        if isinstance(before, dict):
            assert before.keys() == after.keys()
            for key in before:
                check(before[key], after[key])
        elif isinstance(before, list):
            assert len(before) == len(after)
            for old, new in zip(before, after, strict=True):
                check(old, new)
        else:
            assert after == before or (isinstance(before, str) and after == REDACTED)

    check(value, redacted(value))


# commits that are exempt


async def recorded(tract: AsyncTract, **options: Any) -> CommitInfo:
    async def response() -> AsyncIterator[dict[str, Any]]:
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "request": {"api_key": SECRET}}
        yield {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
        yield {"choices": [], "usage": usage}

    async with tract.record_openai(response(), **options) as recording:
        async for _ in recording:
            pass
    [info] = recording.commits
    return info


async def streamed(tract: AsyncTract, **options: Any) -> CommitInfo:
    async with tract.stream(**options) as stream:
        await stream.write("hi")
    assert stream.commit_info is not None
    return stream.commit_info


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("way", ["commit", "edit", "batch", "user", "stream", "record"])
async def test_an_exempt_commit_keeps_what_was_given(
    tract: AsyncTract, target: Path | str, way: str, large: bool
) -> None:
    given = with_secrets(large=large)
    await tract.user("before")
    for redact in (False, True, False):
        options = {"generation_config": given, "metadata": given, "redact": redact}
        if way == "user":
            info = await tract.user("hi", **options)  # type: ignore[arg-type]  # made of what is tried
        elif way == "stream":
            info = await streamed(tract, **options)
        elif way == "record":
            info = await recorded(tract, **options)
        else:
            info = await committed(tract, way, options)
        wanted = given if not redact else without(given)
        metadata = {**wanted, "finish_reason": "stop"} if way == "record" else wanted

        assert (info.generation_config, info.metadata) == (wanted, metadata)
    async with AsyncTract.open(target, tokenizer=COUNTER, tract_id="agent") as again:
        assert (await again.compile()).generation_configs[-1] == given


async def test_an_exempt_config_is_not_remembered_for_others(tract: AsyncTract) -> None:
    given = {"api_key": SECRET}
    for redact in (False, True, False, True):
        info = await tract.user("hi", generation_config=given, redact=redact)

        assert info.generation_config == ({"api_key": REDACTED} if redact else given)


@pytest.mark.parametrize("redact", [False, True])
async def test_an_exempt_report_of_usage_is_kept_as_it_came(
    tract: AsyncTract, db_path: Path, redact: bool
) -> None:
    await tract.user("hi")
    report = {"prompt_tokens": 3, "completion_tokens": 4, "request": {"api_key": SECRET}}
    await tract.record_usage(report, redact=redact)
    await recorded(tract, redact=redact)
    with closing(sqlite3.connect(db_path)) as connection:
        rows = connection.execute("SELECT raw_json FROM usage").fetchall()

    shown = REDACTED if redact else SECRET
    assert [json.loads(row[0])["request"] for row in rows] == [{"api_key": shown}]


async def test_an_exempt_stream_that_is_recovered_is_still_exempt(target: Path | str) -> None:
    given = with_secrets()
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        stream = store.tract("agent").stream(generation_config=given, redact=False)
        await stream.__aenter__()
        await stream.write("half")
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()
        [info] = await left.commit()

    assert info.generation_config == given


async def test_a_commit_that_is_picked_or_stated_again_keeps_what_was_stored(
    tract: AsyncTract,
) -> None:
    given = with_secrets()
    first = await tract.user("first")
    other = await tract.fork("other")
    options: Any = {"generation_config": given, "redact": False}
    picked = await other.user("second", metadata=given, **options)
    await tract.commit(SAID, operation=EDIT, edit_target=first.commit_hash, **options)
    [info] = await tract.cherry_pick(picked.commit_hash)

    assert (info.generation_config, info.metadata) == (given, given)

    await other.commit(SAID, operation=EDIT, edit_target=first.commit_hash)
    await tract.merge("other", on_conflict="ours")

    assert (await tract.compile()).generation_configs[0] == given


async def test_a_key_of_another_string_class_is_the_string_that_it_is(tract: AsyncTract) -> None:
    info = await tract.commit(SAID, generation_config={Header.KEY: SECRET})

    assert info.generation_config == {"api-key": REDACTED}


async def test_a_query_finds_what_was_redacted_by_its_stand_in(tract: AsyncTract) -> None:
    info = await tract.commit(SAID, generation_config={"extra": {"api_key": SECRET}})

    assert await tract.query_by_config("extra.api_key", "=", REDACTED) == [info]
    assert await tract.query_by_config("extra.api_key", "=", SECRET) == []


async def test_content_is_not_redacted(tract: AsyncTract) -> None:
    """It is what the model sees, and what the hash names."""
    payload = {"api_key": SECRET}
    info = await tract.commit({"content_type": "freeform", "payload": payload})
    content: Any = await tract.get_content(info.commit_hash)

    assert content.payload == payload


# which keys


@pytest.mark.parametrize("key", CREDENTIALS)
async def test_a_key_that_names_a_credential_is_one(tract: AsyncTract, key: str) -> None:
    info = await tract.commit(SAID, metadata={"a": [{key: SECRET}]})

    assert info.metadata == {"a": [{key: REDACTED}]}


async def test_harmless_keys_keep_their_values(tract: AsyncTract) -> None:
    given = {key: f"value {number}" for number, key in enumerate(HARMLESS)}
    for _ in range(2):  # at first sight, and once they are known
        info = await tract.commit(SAID, generation_config=given, metadata=given)

        assert info.generation_config == given
        assert info.metadata == given


def test_every_default_name_is_told_in_every_spelling() -> None:
    redactor = Redactor()
    for name in DEFAULT_REDACT_KEYS:
        for spelt in (name, name.upper(), name.replace("_", "-"), name.replace("_", "").title()):
            assert redactor.hides(spelt), spelt


async def test_a_set_of_ones_own_replaces_the_default_one(target: Path | str) -> None:
    config = TractConfig(redact_keys=frozenset({"Tenant-Id"}))
    async with AsyncTract.open(target, config=config, tokenizer=COUNTER) as tract:
        info = await tract.commit(SAID, metadata={"tenant_id": "t", "api_key": "k"})

    assert info.metadata == {"tenant_id": REDACTED, "api_key": "k"}


async def test_the_default_set_can_be_added_to(target: Path | str) -> None:
    config = TractConfig(redact_keys=TractConfig().redact_keys | {"tenant"})
    async with AsyncTract.open(target, config=config, tokenizer=COUNTER) as tract:
        info = await tract.commit(SAID, metadata={"tenant": "t", "api_key": "k"})

    assert info.metadata == {"tenant": REDACTED, "api_key": REDACTED}


@pytest.mark.parametrize("nothing", [(), frozenset()], ids=repr)
async def test_an_empty_set_switches_it_off(nothing: Any, target: Path | str) -> None:
    given = with_secrets()
    config = TractConfig(redact_keys=nothing)
    async with AsyncTract.open(target, config=config, tokenizer=COUNTER) as tract:
        info = await tract.commit(SAID, metadata=given, generation_config=given)
        last = await streamed(tract, metadata=given, generation_config=given)

    for each in (info, last):
        assert each.metadata == each.generation_config == given


async def test_stores_redact_each_by_its_own_set() -> None:
    """Nothing of what one has learnt of a key is believed by another."""
    key = {"tenant": "t"}
    async with AsyncTract.open(tokenizer=COUNTER) as open_minded:
        before = await open_minded.commit(SAID, metadata=key)
        config = TractConfig(redact_keys=frozenset({"tenant"}))
        async with AsyncTract.open(config=config, tokenizer=COUNTER) as strict:
            info = await strict.commit(SAID, metadata=key)
        after = await open_minded.commit(SAID, metadata=key)

    assert (before.metadata, info.metadata, after.metadata) == (key, {"tenant": REDACTED}, key)


def test_what_is_remembered_of_keys_is_bounded() -> None:
    redactor = Redactor()
    for number in range(20_000):
        redactor.hides(f"key {number}")
    redactor.hides("k" * 1_000)

    assert len(redactor.harmless) <= 4_096
    assert max(map(len, redactor.harmless)) < 100


@pytest.mark.parametrize("names", [["a", "b"], ("a", "b"), {"a", "b"}])
def test_the_set_may_be_given_as_any_collection(names: Any) -> None:
    assert TractConfig(redact_keys=names).redact_keys == {"a", "b"}


@pytest.mark.parametrize("names", ["api_key", ["a", 5], [b"a"], None, [""], ["- _"], {"a": 1}])
def test_a_set_that_is_none_is_refused_by_name(names: Any) -> None:
    with pytest.raises(ValidationError, match="redact_keys"):
        TractConfig(redact_keys=names)


def test_a_name_of_nothing_is_told_what_to_do() -> None:
    with pytest.raises(ValidationError, match="give an empty set"):
        TractConfig(redact_keys=frozenset({"--"}))


def test_names_are_folded_as_the_docs_say() -> None:
    assert folded("X-Api_Key ") == "xapikey"


# errors


UNSTORABLE: dict[str, Any] = {
    "NaN": math.nan,
    "bytes": b"x",
    "object": object(),
    "surrogate": "\ud800",
    "key": {5: 1},
    "tuple as key": {(SECRET, "a"): 1},
    "digits": 10**5000,
    "function": lambda: SECRET,
}


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("name", UNSTORABLE)
async def test_an_error_tells_no_value_that_stands_beside(
    tract: AsyncTract, db_path: Path, name: str, large: bool
) -> None:
    given = {"a": SECRET, **with_secrets(large=large), "bad": [SECRET, {"b": UNSTORABLE[name]}]}
    for options in ({"generation_config": given}, {"metadata": given}):
        with pytest.raises(ContentValidationError) as caught:
            await tract.commit(SAID, **options)  # type: ignore[arg-type]

        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert SECRET not in told
    assert SECRET.encode() not in on_disk(db_path)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": {"api_key": SECRET}, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 1, "api_key": SECRET, "cost": math.nan},
        {"api_key": SECRET},
        SECRET,
    ],
)
async def test_an_error_of_a_usage_tells_no_value(tract: AsyncTract, usage: Any) -> None:
    await tract.user("hi")
    with pytest.raises(ContentValidationError) as caught:
        await tract.record_usage(usage)

    assert SECRET not in f"{caught.value}{caught.value!r}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:{}@host/db",
        "postgresql+asyncpg://user:{}@host/db?password={}",
        "sqlite://user:{}@/a.db",
        "sqlite://:{}@host/a.db",
        "sqlite+nothing://user:{}@host/a.db",
        "sqlite:///{folder}/missing/a.db?password={}",
        "sqlite:///file:{folder}/missing/a.db?mode=rw&uri=true&key={}",
        "sqlite:///{folder}/a.db?timeout={}",
        "sqlite:///{folder}/a.db?timeout={}&timeout=1",
        "x://user:{}@host",
        "://user:{}@host",
    ],
)
@pytest.mark.filterwarnings("ignore:Query string argument")  # SQLAlchemy names the key alone
async def test_an_error_tells_no_password_of_a_url(url: str, tmp_path: Path) -> None:
    target = url.replace("{folder}", str(tmp_path)).replace("{}", SECRET)
    for opening in (AsyncTract.open(target), TractStore.open(target)):
        with pytest.raises(StorageError) as caught:
            await opening

        error: BaseException | None = caught.value
        while error is not None:
            assert SECRET not in f"{error}{error!r}{vars(error)}"
            error = error.__cause__


@pytest.mark.parametrize(
    "key",
    [
        *("tavily_api_key", "SERPAPI-API-KEY", "my api key", "db_password", "appSecret"),
        *("vertex_credentials", "x-forwarded-authorization", "api_keys", "basic_auth", "bot_token"),
        *("api_key\n", "api\u2011key", "api\u00a0key", "\uff41\uff50\uff49_key", "api\u200bkey"),
    ],
)
async def test_a_credential_is_known_by_its_end_and_in_any_dress(
    tract: AsyncTract, key: str
) -> None:
    """Of whichever service it is, and with whichever spaces, dashes and widths of letters."""
    given = {"model": "m", "nested": [{key: "s3cret"}]}
    info = await tract.commit(SAID, generation_config=given, metadata=given)

    assert info.generation_config == {"model": "m", "nested": [{key: "[redacted]"}]}
    assert info.metadata == info.generation_config


async def test_a_short_name_counts_whole_only(target: Path | str) -> None:
    config = TractConfig(redact_keys=frozenset({"key"}))
    async with AsyncTract.open(target, config=config) as tract:
        info = await tract.commit(SAID, generation_config={"key": "a", "monkey": "b"})

    assert info.generation_config == {"key": "[redacted]", "monkey": "b"}
