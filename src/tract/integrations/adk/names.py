"""Which tracts and branches the apps, users and sessions of ADK are."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import unquote

from tract.models.refs import quote_id
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["APP", "USER", "Named", "session_of", "users_of"]

APP: Final = "app"
USER: Final = "user"
_ROOT = "adk/"
_STATE = "%state"
"""The branch that has a user's state: `quote_id()` makes no such name of any session's id."""


class Named(NamedTuple):
    """A session by its names."""

    store: TractStore
    app_name: str
    user_id: str
    session_id: str

    @property
    def tract(self) -> AsyncTract:
        """The branch that the session is."""
        return self.store.tract(self._user, branch=quote_id(self.session_id))

    @property
    def user(self) -> AsyncTract:
        """The branch that has the user's state, in the tract of the user."""
        return self.store.tract(self._user, branch=_STATE)

    @property
    def app(self) -> AsyncTract:
        """The tract that has the app's state."""
        return self.store.tract(f"{_ROOT}{_segment(self.app_name)}")

    @property
    def _user(self) -> str:
        return f"{_ROOT}{_segment(self.app_name)}/{_segment(self.user_id)}"


async def users_of(store: TractStore, app_name: str) -> list[str]:
    """Return the users of an app, by their ids."""
    prefix = f"{_ROOT}{_segment(app_name)}/"
    tracts = await store.tracts(prefix=prefix, order_by="id", limit=None)
    return [_read(each.tract_id.removeprefix(prefix)) for each in tracts]


def session_of(branch: str) -> str | None:
    """Return the id of the session that a branch is; None for the branch of a user's state."""
    return None if branch == _STATE else _read(branch)


def _segment(text: str) -> str:
    """Return a text as one segment of a tract's id."""
    return quote_id(text).replace("/", "%2F")


def _read(name: str) -> str:
    return "" if name == "%" else unquote(name, errors="surrogatepass")
