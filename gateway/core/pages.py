"""Error pages of the operator's own."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final

from gateway.core import problems
from gateway.core.problems import Problem
from p2p.errors import ConfigError, ErrorCode

CODE_PAGES: Final = ErrorCode("P2P-1525", "Write templates as docs/gateway.md explains them.")

FALLBACK: Final = "error"
"""The name of the template for problems that have none of their own."""
FIELDS: Final = frozenset({"status", "code", "title", "advice", "host"})
NAMES: Final = frozenset(
    {FALLBACK}
    | {problem.code for problem in vars(problems).values() if isinstance(problem, Problem)}
    | {str(problem.status) for problem in vars(problems).values() if isinstance(problem, Problem)}
)
"""What a template can be called: a problem, a status, or the fallback."""

_FIELD: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Pages:
    """Templates in the place of the page that the gateway has itself.

    Args:
        templates: By name; ``{{title}}`` and the like stand for what differs.

    Raises:
        ConfigError: A name or a field is none.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        for name, text in templates.items():
            if name not in NAMES:
                known = ", ".join(sorted(NAMES))
                raise ConfigError(f"{name}.html is for no problem; there are {known}", code=CODE_PAGES)
            if unknown := sorted(set(_FIELD.findall(text)) - FIELDS):
                raise ConfigError(f"{name}.html: there is no {{{{{unknown[0]}}}}}", code=CODE_PAGES)
        self._templates = templates

    def page(self, problem: Problem, host: str) -> str:
        """Write a problem for a browser.

        Args:
            problem: What is wrong.
            host: What the visitor asked for; any text.
        """
        names = (problem.code, str(problem.status), FALLBACK)
        template = next((self._templates[name] for name in names if name in self._templates), None)
        if template is None:
            return problems.as_page(problem, host)
        values = {**problem._asdict(), "host": host[:253]}
        return _FIELD.sub(lambda found: html.escape(str(values[found.group(1)])), template)
