"""Which of a client's arguments, on their way into configs and metadata, are secrets.

Secrets are the strings at and below a key that names a credential. The end of a key decides:
`api_key`, `my_api_key` and `api_key_2` name secrets, `api_key_count` does not. Numbers, booleans
and null are parameters, whatever their key. A JSON schema describes values and holds none: a tool
may take a `password`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from string import digits
from typing import Any, NamedTuple

__all__ = ["DEFAULT_REDACT_KEYS", "REDACTED", "Redactor", "folded", "is_schema", "kept_keys"]

REDACTED = "[redacted]"
"""What the store holds in place of a credential."""

DEFAULT_REDACT_KEYS: frozenset[str] = frozenset(
    """
    api_key api_keys apikey x_api_key x_goog_api_key admin_api_key api_token api_secret api_secret_key
    openai_api_key azure_openai_api_key anthropic_api_key google_api_key gemini_api_key
    mistral_api_key cohere_api_key co_api_key groq_api_key together_api_key fireworks_api_key
    deepseek_api_key openrouter_api_key perplexity_api_key xai_api_key voyage_api_key
    nvidia_api_key hf_token huggingfacehub_api_token replicate_api_token
    openai_key azure_openai_key anthropic_key api_key_string master_key functions_key
    huggingface_token hugging_face_hub_token gitlab_token gitlab_pat github_pat slack_token app_token
    discord_token telegram_token notion_token figma_token npm_token pypi_token vault_token
    vercel_token identity_token ocp_apim_subscription_key subscription_key
    authentication basic_auth bearer_auth http_auth proxy_auth x_auth x_auth_key auth_key bot_token
    app_secret access_token_secret
    authorization proxy_authorization x_authorization authorization_token auth auth_token
    auth_header x_auth_token access_token x_access_token refresh_token id_token oauth_token oauth2_token
    bearer bearer_token private_token session_token security_token github_token gh_token
    access_tokens api_tokens auth_tokens bearer_tokens refresh_tokens session_tokens secret_keys
    access_keys private_keys x_csrf_token csrf_token xsrf_token jwt cookie cookies set_cookie
    password passwords passwd pwd passcode passphrase user_password db_password proxy_password
    secret secrets secret_key secret_token shared_secret client_secret webhook_secret
    signing_secret signing_key encryption_key access_key access_key_id secret_access_key
    private_key private_key_id ssh_key ssh_private_key client_assertion
    credential credentials creds service_account_info service_account_json service_account_key
    aws_access_key aws_access_key_id aws_secret_key aws_secret_access_key aws_session_token
    aws_bearer_token_bedrock x_amz_security_token
    azure_ad_token azure_ad_token_provider account_key storage_account_key sas_token
    connection_string
    """.split()
)
"""The default of `TractConfig.redact_keys`."""

_TYPES = frozenset(
    "object array string number integer boolean null any str int float bool dict list".split()
)
"""The types of JSON, and Python's, by which some providers' tools describe their arguments."""
_MAPS = frozenset({"properties", "patternproperties", "$defs", "definitions", "dependentschemas"})
_LISTS = frozenset({"enum", "anyof", "oneof", "allof"})
_KEYWORDS = frozenset(
    """
    $schema $id $anchor $ref $dynamicref $dynamicanchor $vocabulary $comment $defs definitions id
    title description default deprecated readonly writeonly examples example type enum const
    multipleof maximum exclusivemaximum minimum exclusiveminimum maxlength minlength pattern format
    contentencoding contentmediatype contentschema items prefixitems additionalitems unevaluateditems
    contains mincontains maxcontains maxitems minitems uniqueitems properties patternproperties
    additionalproperties unevaluatedproperties propertynames maxproperties minproperties required
    dependentrequired dependentschemas dependencies allof anyof oneof not if then else
    nullable discriminator xml externaldocs propertyordering
    """.split()
)
"""The keywords of JSON Schema, draft 7 to 2020-12, of OpenAPI and of Gemini, in lower case."""

_IGNORED = re.compile(r"[\s_\u00ad\u200b\u2010-\u2015\u2212-]+")  # spaces, underscores and dashes
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TELLING = 6
"""The fewest letters with which a name also matches the end of a longer key."""
_BRIEF = 2
"""Up to this many letters, a name's first word may end another: `id_token`, `fim_mid_token`."""
_REMEMBERED = 4096
_LONGEST = 64  # longer keys are data, and not worth remembering


def folded(name: str) -> str:
    """Return *name* without case, dashes, underscores and spaces, for comparing.

    Letters of another width or style compare equal, by Unicode's NFKC.
    """
    return _IGNORED.sub("", unicodedata.normalize("NFKC", name).casefold())


def _words(name: str) -> list[str]:
    """Split a name at separators and capitals; the list is never empty."""
    apart = _CAPITAL.sub("_", unicodedata.normalize("NFKC", name))
    return [word for word in map(str.casefold, _IGNORED.split(apart)) if word] or [""]


def _endings(words: Sequence[str]) -> Iterator[str]:
    """Yield the last word, the last two as one, and so on."""
    ending = ""
    for word in reversed(words):
        ending = word + ending
        yield ending


class _Forms(NamedTuple):
    """How keys are compared: as a whole, by how they end, and by their last words."""

    whole: frozenset[str]
    endings: tuple[str, ...]
    last_words: frozenset[str]


@lru_cache(16)  # nearly every store has the default names
def _forms(names: frozenset[str]) -> _Forms:
    telling = {name for name in names if len(folded(name)) >= _TELLING}
    brief = {name for name in telling if len(_words(name)[0]) <= _BRIEF}
    return _Forms(
        frozenset(map(folded, names)),
        tuple(map(folded, telling - brief)),
        frozenset(map(folded, brief)),
    )


class Redactor:
    """Recognises the keys that name credentials; several threads may use one at once.

    `harmless` caches keys that name none, so that walking a config costs one set lookup per key.
    """

    def __init__(self, names: Iterable[str] = DEFAULT_REDACT_KEYS) -> None:
        self._names, self._endings, self._last_words = _forms(frozenset(names))
        self.harmless: set[str] = set()

    def hides(self, key: str) -> bool:
        """Return True if the value at *key* is a secret; *key* is exactly a `str`."""
        name = folded(key)
        for spelt in (name, name.rstrip(digits)):
            if spelt in self._names or spelt.endswith(self._endings):
                return True
        if any(words.rstrip(digits) in self._last_words for words in _endings(_words(key))):
            return True
        if len(key) <= _LONGEST:
            if len(self.harmless) >= _REMEMBERED:
                self.harmless = set()  # replaced, not cleared: another thread may be reading it
            self.harmless.add(key)
        return False


def is_schema(value: Mapping[str, Any]) -> bool:
    """Return True if an object is a JSON schema, judged by its own form and not by where it stands.

    Either it has `properties`, `$defs` or the like with schemas in them, or it has nothing but
    keywords, including a telling one, such as a `type` that is one of JSON's.
    """
    words = {_lowered(key): item for key, item in value.items()}
    return any(_has_schemas(words[name]) for name in _MAPS & words.keys()) or (
        words.keys() <= _KEYWORDS and _tells(words)
    )


def kept_keys(value: Mapping[str, Any], *, schema: bool) -> Collection[str]:
    """Return the keys of an object below which nothing is a secret.

    Those are the keywords of a JSON *schema*, and the example inputs of a tool's definition.
    """
    if schema:
        return {key for key in value if _lowered(key) in _KEYWORDS}
    return ("input_examples",) if issubclass(type(value.get("input_schema")), dict) else ()


def _has_schemas(value: Any) -> bool:
    """Return True if *value* maps names to schemas and to nothing else."""
    if not issubclass(type(value), dict):
        return False
    items = [item for item in dict.values(value) if not isinstance(item, bool)]
    if not all(issubclass(type(item), dict) for item in items):
        return False
    return any(map(_is_like_schema, items))


def _is_like_schema(value: dict[Any, Any]) -> bool:
    """Return True if a value among `properties` is a schema; it may have keys of its own."""
    words = {_word(key): item for key, item in dict.items(value)}
    return bool(words) and (_tells(words) or words.keys() <= _KEYWORDS)


def _tells(words: Mapping[str, Any]) -> bool:
    kind: Any = words.get("type")
    types: Iterable[Any] = kind if type(kind) in (list, tuple) else (kind,)
    return (
        any(issubclass(type(name), str) and str.lower(name) in _TYPES for name in types)
        or issubclass(type(words.get("$ref")), str)
        or any(issubclass(type(words[name]), (list, tuple)) for name in _LISTS & words.keys())
    )


@lru_cache(_REMEMBERED)
def _lowered(key: str) -> str:
    """Return a keyword in lower case, without underscores: Python clients write `any_of`."""
    return key.lower().replace("_", "") if len(key) <= _LONGEST else ""


def _word(key: Any) -> str:
    return _lowered(key) if type(key) is str else ""
