"""Reading XML that a stranger wrote: elements and their text, nothing else.

``xml.parsers.expat`` of the standard library does the reading, as it does for ``defusedxml``. That library guards the
tree builders of the standard library, which we do not need; what it forbids is forbidden here at the source: a document
type declaration, and with it every entity, is refused before anything of it is looked at. Nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from p2p.errors import DecodeError

MAX_BYTES: Final = 128 << 10
"""More than any router's description, of which 20 KiB are many."""
_MAX_DEPTH: Final = 24
_MAX_ELEMENTS: Final = 2000


@dataclass(slots=True)
class Element:
    """An element, its name without a prefix.

    Attributes:
        name: Such as ``serviceType``.
        text: What stands directly in it, without blanks around.
        children: The elements in it, in order.
    """

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """Go through this element and all in it, in the order of the document."""
        yield self
        for child in self.children:
            yield from child.walk()

    def first(self, name: str) -> Element | None:
        """Find the first element of a name, this one or one in it."""
        return next((element for element in self.walk() if element.name == name), None)

    def child_text(self, name: str) -> str:
        """The text of the first direct child of a name; empty when there is none."""
        return next((child.text for child in self.children if child.name == name), "")


def read_xml_untrusted(data: bytes) -> Element:
    """Read a document.

    Args:
        data: Its bytes; UTF-8 whatever it says, or Latin-1 where that fails.

    Returns:
        The outermost element.

    Raises:
        DecodeError: It is too large or too deep, declares a document type, or is no XML.
    """
    if len(data) > MAX_BYTES:
        raise DecodeError("an XML document of more than 128 KiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        # Routers write the owner's name in whatever they were made with.
        text = data.decode("latin-1")
    reader = _Reader()
    try:
        reader.parse(text.lstrip("\ufeff \t\r\n"))
    except (expat.ExpatError, ValueError) as error:
        raise DecodeError(f"no XML: {error}") from error
    if reader.root is None:
        raise DecodeError("an XML document without an element")
    return reader.root


class _Reader:
    """Builds elements from what expat tells."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def parse(self, text: str) -> None:
        # An encoding given here goes before the one that the document names.
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        # Lone surrogates cannot come out of the decoders above, so that this is never refused for its encoding.
        parser.Parse(text.encode("utf-8"), True)

    def _refuse(self, *_: object) -> None:
        raise DecodeError("an XML document with a document type declaration")

    def _start(self, name: str, _: object) -> None:
        self._count += 1
        if len(self._open) >= _MAX_DEPTH or self._count > _MAX_ELEMENTS:
            raise DecodeError("an XML document with too many elements")
        element = Element(name.rpartition(":")[2])
        if self._open:
            self._open[-1].children.append(element)
        elif self.root is None:
            self.root = element
        self._open.append(element)

    def _end(self, _: str) -> None:
        element = self._open.pop()
        element.text = element.text.strip()

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text
