"""What every call on a branch has in common: the branch, and the gate that lets calls in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Self

from tract.exceptions import StoreClosedError
from tract.handles.arguments import checked_name, checked_ref
from tract.runtime import Runtime
from tract.storage.repositories import BranchName, ExistingBranch

__all__ = ["Handle"]


class Handle:
    """A branch of a tract in an open store."""

    def __init__(
        self,
        runtime: Runtime,
        tract_id: str,
        branch: str = "main",
        *,
        owns_runtime: bool = False,
        must_exist: bool = False,
    ) -> None:
        self._runtime = runtime
        kind = ExistingBranch if must_exist else BranchName
        self._branch: BranchName = kind(checked_name("tract_id", tract_id), checked_ref(branch))
        self._owns_runtime = owns_runtime
        self._closed = False

    @property
    def tract_id(self) -> str:
        """The tract's id."""
        return self._branch.tract_id

    @property
    def branch(self) -> str:
        """The name of the branch that this handle commits to."""
        return self._branch.branch

    def _other(self, branch: str) -> Self:
        """Return a handle on a branch of this tract that has to be there."""
        return type(self)(self._runtime, self.tract_id, branch, must_exist=branch != "main")

    def _call(self) -> AbstractContextManager[None]:
        """Return what lets a call in, if this handle is open."""
        if self._closed:
            self._check_open()  # the gate only knows of its store
        return self._runtime.gate.call()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(self._runtime.database.path)
        self._runtime.gate.check_open()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.tract_id!r} on {self.branch!r} "
            f"of {self._runtime.database.path!r}>"
        )
