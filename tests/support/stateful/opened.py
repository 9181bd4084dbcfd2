"""Open stores, the ways to open one, and places: a branch as seen by one store."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from support.customs import CUSTOM
from support.model import Commit, Setup, Tract, View, entry_hashes
from support.opening import remembering
from tract import (
    AsyncTract,
    BudgetAction,
    TiktokenCounter,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
)

TRACTS = ["planner", "Planner", "planner ", "p\1", "e\u0301", "\u00e9", "\U0001f600%_"]
BRANCHES = ["main", "Main", "main-", "refs/heads/main", "\u00e9/x"]
GARBAGE = ["", "0" * 64, "f" * 64, "main~", "\u0663" * 64, "0" * 63 + "\n", "' OR 1=1 --"]
VIEWS = [View(marks, joined) for marks in (False, True) for joined in (True, False)]

ACTIONS = st.sampled_from([each for each in BudgetAction if each is not BudgetAction.COMPACT])
"""What a budget may do; the model shortens no context."""
SETUPS = st.builds(
    Setup,
    encoding=st.sampled_from(["o200k_base", "o200k_base", "cl100k_base"]),
    roles=st.sampled_from([{}, {}, {"tool_io": "user", "reasoning": "system", "note": "user"}]),
    registered=st.sampled_from([True, True, True, False]),
    max_content_bytes=st.sampled_from([2**25, 2**25, 2**25, 150]),
    cache_max_bytes=st.sampled_from([2**26, 2**26, 0, 4000]),
    remembers=st.sampled_from([True, True, False]),
).flatmap(
    lambda setup: st.builds(
        setup._replace,
        max_tokens=st.sampled_from([None, None, None, 60] if setup.registered else [None]),
        budget_action=ACTIONS,
    )
)


class Place(NamedTuple):
    """A branch, and the open store that a call goes to."""

    store: OpenStore
    tract: Tract
    branch: str

    @property
    def handle(self) -> AsyncTract:
        """A handle on the branch."""
        if isinstance(self.store.opened, AsyncTract):
            return self.store.opened
        return self.store.opened.tract(self.tract.tract_id, branch=self.branch)

    @property
    def head(self) -> str | None:
        """The hash of its newest commit."""
        return self.tract.heads.get(self.branch)

    @property
    def history(self) -> list[Commit]:
        """Its commits, oldest first."""
        return self.tract.of_branch(self.branch)

    @property
    def entries(self) -> list[str]:
        """The hashes of its entries."""
        return entry_hashes(self.history)


class OpenStore:
    """A store, or a tract opened by itself, and what its budget's callback was called with."""

    def __init__(self, setup: Setup, only: str | None) -> None:
        self.setup = setup
        self.only = only
        self.called: list[tuple[int, int]] = []
        self.opened: TractStore | AsyncTract

    async def open(self, path: Path) -> None:
        """Open the database as the setup says."""
        tokenizer = TiktokenCounter(self.setup.encoding)
        config = self._config()
        if self.only is None:
            remembers = self.setup.remembers
            self.opened = await remembering(path, remembers, config=config, tokenizer=tokenizer)
        else:
            self.opened = await AsyncTract.open(
                path, tract_id=self.only, config=config, tokenizer=tokenizer
            )
        if self.setup.registered:
            for name, model in CUSTOM.items():
                self.opened.register_content_type(name, model)

    def _config(self) -> TractConfig:
        setup, budget = self.setup, None
        if setup.max_tokens is not None:
            called = setup.budget_action is BudgetAction.CALLBACK
            budget = TokenBudgetConfig(
                max_tokens=setup.max_tokens,
                action=setup.budget_action,
                callback=self._over if called else None,
            )
        return TractConfig(
            type_to_role=dict(setup.roles),  # type: ignore[arg-type]  # they are role names
            max_content_bytes=setup.max_content_bytes,
            cache_max_bytes=setup.cache_max_bytes,
            token_budget=budget,
            readers=1,
        )

    async def _over(self, tokens: int, max_tokens: int) -> None:
        self.called.append((tokens, max_tokens))
