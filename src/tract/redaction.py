"""Names of credentials, which configs and metadata made of a client's arguments may carry.

Only keys are looked at, and of a key its end: `api_key` and `my_api_key` name secrets,
`api_key_count` does not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["DEFAULT_REDACT_KEYS", "REDACTED", "Redactor", "folded"]

REDACTED = "[redacted]"
"""Stands in the store where a credential stood."""

DEFAULT_REDACT_KEYS: frozenset[str] = frozenset(
    """
    api_key api_keys apikey x_api_key x_goog_api_key admin_api_key api_token api_secret api_secret_key
    openai_api_key azure_openai_api_key anthropic_api_key google_api_key gemini_api_key
    mistral_api_key cohere_api_key co_api_key groq_api_key together_api_key fireworks_api_key
    deepseek_api_key openrouter_api_key perplexity_api_key xai_api_key voyage_api_key
    nvidia_api_key hf_token huggingfacehub_api_token replicate_api_token
    ocp_apim_subscription_key subscription_key
    basic_auth x_auth_key auth_key bot_token app_secret access_token_secret
    authorization proxy_authorization x_authorization authorization_token auth auth_token
    auth_header x_auth_token access_token x_access_token refresh_token id_token oauth_token
    bearer bearer_token private_token session_token security_token github_token gh_token
    x_csrf_token csrf_token xsrf_token jwt cookie cookies set_cookie
    password passwords passwd pwd passphrase user_password db_password proxy_password
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
"""What `TractConfig.redact_keys` is unless it is given."""

_IGNORED = re.compile(r"[\s_\u00ad\u200b\u2010-\u2015\u2212-]+")  # spaces, underscores and dashes
_TELLING = 6
"""Letters from which on a name is looked for at the end of longer ones, too."""
_REMEMBERED = 4096
_LONGEST = 64  # longer keys are data, and not worth remembering


def folded(name: str) -> str:
    """Return *name* as it is compared: without case, dashes, underscores and spaces.

    Letters of another width or style are the same letters, as Unicode's NFKC has them.
    """
    return _IGNORED.sub("", unicodedata.normalize("NFKC", name).casefold())


class Redactor:
    """Tells the keys that name credentials; may be used by several threads at once.

    `harmless` holds keys that are known not to, so that walking a config asks nothing else of
    them.
    """

    def __init__(self, names: Iterable[str] = DEFAULT_REDACT_KEYS) -> None:
        self._names = frozenset(map(folded, names))
        self._endings = tuple(name for name in self._names if len(name) >= _TELLING)
        self.harmless: set[str] = set()

    def hides(self, key: str) -> bool:
        """Tell whether what stands at *key* is a secret; *key* is exactly a `str`."""
        name = folded(key)
        if name in self._names or name.endswith(self._endings):
            return True
        if len(key) <= _LONGEST:
            if len(self.harmless) >= _REMEMBERED:
                self.harmless = set()  # not cleared: somebody may be looking into it
            self.harmless.add(key)
        return False
