"""What a request line asks for."""

from __future__ import annotations

from typing import Final

_SCHEMES: Final = ("http://", "https://")


def origin_form_untrusted(target: str, host: str) -> str | None:
    """Tell the path and query of a request, as they came.

    A server has to understand an absolute URL as well (RFC 9112 section 3.2.2). One that names another host than the
    header Host could be understood in two ways.

    Args:
        target: The request line's, or ``:path``.
        host: The header Host.

    Returns:
        What begins with a slash; None for what is not for a service: another host, ``*``, an authority, or a fragment.
    """
    for scheme in _SCHEMES:
        if target.lower().startswith(scheme):
            authority, slash, rest = target[len(scheme) :].partition("/")
            target = slash + rest or "/"
            if authority.lower() != host.strip().lower():
                return None
    return target if target.startswith("/") and "#" not in target else None
