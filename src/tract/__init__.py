"""Version control for the context windows of LLM agents, made for asyncio.

Every public name is exported here; start with `AsyncTract` or `TractStore`.
"""

from __future__ import annotations

import importlib.util
import typing

if typing.TYPE_CHECKING:
    from tract.exports import *
    from tract.exports import __all__ as __all__
else:

    def __getattr__(name):
        """Load all public names when the first of them is asked for.

        The command line prints its help, and completes, without SQLAlchemy and pydantic's models.
        """
        # A module is what `from tract import` loads if there is no such attribute.
        is_module = importlib.util.find_spec(f"{__name__}.{name}") is not None
        if is_module or (name.startswith("__") and name != "__all__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        exports = importlib.import_module("tract.exports")
        names = {each: getattr(exports, each) for each in exports.__all__}
        globals().update(names, __all__=exports.__all__)
        try:
            return globals()[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

    def __dir__():
        return sorted({*globals(), *importlib.import_module("tract.exports").__all__})
