"""The guard ``xml``: the text must be one well-formed XML document (XML 1.0, fifth edition) without a document type.

A document type declares entities, and these are how XML reads files and grows (CWE-611, CWE-776): expat reports it before it acts on
it, and that ends the parsing. So there is nothing to expand, and the work is linear.
"""

from typing import Annotated
from xml.parsers import expat

from msgspec import Meta, Struct

from gateway.guards.fence import unfenced
from gateway.guards.whole import WholeText

_Name = Annotated[str, Meta(min_length=1, max_length=200)]

_MAX_DEPTH = 1_000
"""Elements within elements: ten times what any real document has; who reads the answer may recurse."""


class XmlOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``xml`` may be told. Names are qualified names as written (``svg:rect``)."""

    root: _Name | None = None
    """The outermost element; None: any."""
    tags: Annotated[list[_Name], Meta(max_length=1_000)] | None = None
    """The elements that may occur; None: all."""
    allow_fence: bool = False
    """Whether the document may stand in a Markdown code block."""


class _RefusedError(Exception):
    """Ends the parsing; its argument is what was found."""


class _Reading:
    """One document on its way through the parser."""

    __slots__ = ("_depth", "_root", "_tags")

    def __init__(self, root: str | None, tags: frozenset[str] | None) -> None:
        self._root = root
        self._tags = tags
        self._depth = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        if self._depth == 0 and self._root is not None and name != self._root:
            raise _RefusedError("wrong_root")
        if self._tags is not None and name not in self._tags:
            raise _RefusedError("tag_not_allowed")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _RefusedError("too_deep")

    def end(self, _name: str) -> None:
        self._depth -= 1

    def document_type(self, *_: object) -> None:
        raise _RefusedError("document_type")


class XmlGuard(WholeText):
    """Parses the text."""

    __slots__ = ("_allow_fence", "_root", "_tags")

    def __init__(self, options: XmlOptions) -> None:
        self._root = options.root
        self._tags = frozenset(options.tags) if options.tags is not None else None
        self._allow_fence = options.allow_fence

    def judge(self, text: str) -> str | None:
        """``not_xml``, ``document_type``, ``too_deep``, ``wrong_root`` or ``tag_not_allowed``."""
        if self._allow_fence:
            text = unfenced(text, "xml")
        reading = _Reading(self._root, self._tags)
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = reading.start
        parser.EndElementHandler = reading.end
        parser.StartDoctypeDeclHandler = reading.document_type
        try:
            # White space before the XML declaration is a mistake that every reader of answers forgives.
            parser.Parse(text.strip().encode(), True)
        except _RefusedError as refused:
            return str(refused)
        except (expat.ExpatError, UnicodeEncodeError):
            return "not_xml"
        return None


def make_xml(options: XmlOptions, _param: str) -> XmlGuard:
    """The guard."""
    return XmlGuard(options)
