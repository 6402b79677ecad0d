"""What a folder looks like to a browser and to a program."""

from __future__ import annotations

import html
import mimetypes
import os
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from p2p.services.tree import Entry

_STYLE: Final = """
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}
body{margin:2rem auto;max-width:60rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{padding:.35rem .5rem;text-align:left;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent)}
td:first-child{overflow-wrap:anywhere}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.35rem .5rem}
a:focus-visible{outline:2px solid;outline-offset:2px}
"""
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_TYPES: Final = mimetypes.MimeTypes()
"""Python's own table: that of the machine would make the answer differ from machine to machine."""


def listing_html(title: str, names: Sequence[str], entries: Sequence[Entry], hidden: int) -> str:
    """Write the page of a folder: a heading with the way to it, and a table of what is in it.

    Args:
        title: What the whole is called.
        names: The way to this folder.
        entries: What is in it.
        hidden: How many names are not shown.
    """
    crumbs = [title, *names]
    way = []
    for depth, name in enumerate(crumbs):
        up = "../" * (len(names) - depth)
        is_here = depth == len(names)
        way.append(f"<span aria-current=page>{_text(name)}</span>" if is_here else f'<a href="{up}">{_text(name)}</a>')
    rows = [_row(entry) for entry in entries]
    if names:
        rows.insert(0, '<tr><td><a href="../">Up one folder</a></td><td></td><td></td></tr>')
    counted = f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
    if hidden:
        counted += f", and {hidden} hidden"
    return _page(
        " / ".join(_text(name) for name in crumbs),
        f"<nav aria-label=Folders><h1>{' / '.join(way)}</h1></nav>\n<main><table>\n<caption>{counted}</caption>\n"
        "<thead><tr><th scope=col>Name</th><th scope=col class=number>Size</th><th scope=col class=number>Changed"
        f"</th></tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody></table></main>",
    )


def listing_json(entries: Sequence[Entry], hidden: int) -> dict[str, Any]:
    """The same for programs.

    Args:
        entries: What is in the folder.
        hidden: How many names are not shown.
    """
    return {
        "entries": [
            {
                "name": _decoded(entry.name),
                "href": href(entry),
                "folder": entry.is_folder,
                "link": entry.is_link,
                "size": entry.size_bytes,
                "modified": round(entry.modified_wall, 3),
            }
            for entry in entries
        ],
        "hidden": hidden,
    }


def message_html(heading: str, text: str) -> str:
    """Write a page that says one thing, such as why there is nothing to see.

    Args:
        heading: In a few words.
        text: In a sentence.
    """
    return _page(_text(heading), f"<main><h1>{_text(heading)}</h1>\n<p>{_text(text)}</p></main>")


def content_type(name: str) -> str:
    """Tell what kind of content a file has, by its name."""
    kind, encoding = _TYPES.guess_type(name, strict=True)
    if kind is None or encoding is not None:
        # What is compressed stays so: a browser that unpacked it would save something else than there is.
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def href(entry: Entry) -> str:
    """The entry's address, relative to its folder."""
    # Before a name with a colon, lest it look like a scheme.
    return f"./{quote(os.fsencode(entry.name))}{'/' if entry.is_folder else ''}"


def _row(entry: Entry) -> str:
    name = _text(entry.name) + ("/" if entry.is_folder else "")
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.modified_wall))
    size = "" if entry.is_folder else _size(entry.size_bytes)
    return (
        f'<tr><td><a href="{html.escape(href(entry))}">{name}</a></td><td class=number>{size}</td>'
        f'<td class=number><time datetime="{when.replace(" ", "T")}Z">{when} UTC</time></td></tr>'
    )


def _page(title: str, body: str) -> str:
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _decoded(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _text(name: str) -> str:
    return html.escape(_decoded(name))


def _size(size_bytes: float) -> str:
    for unit in _UNITS:
        if size_bytes < 1000 or unit == _UNITS[-1]:
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"
