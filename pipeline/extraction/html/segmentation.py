"""Segmentation of an HTML page into blocks that hold what a reader of the page sees.

The page is parsed once by lexbor and its nodes are visited once. Hidden elements and those without visible
text are skipped; formulas, listings, superscripts, quotations and annotations become plain text. ``noscript``
is not skipped, because some forums serve their whole text in it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode

from pipeline.extraction.html import formulas, scripts
from pipeline.extraction.html.blocks import BREAK, BlockBuilder, Blocks
from pipeline.extraction.html.elements import BY_NUMBER, IS_BLOCK, IS_SPECIAL, OMITTED, SPECIAL, tag_and_role
from pipeline.extraction.html.listing import Listing, is_code_table, is_number, listing
from pipeline.extraction.html.markup import BLOCK_LEVEL, PREFORMATTED, classes, kind_of
from pipeline.extraction.html.visibility import HIDING, Display, display, is_relevant

Attributes = Mapping[str, str | None]

_LINKED, _INVISIBLE, _LINES, _NO_LISTING, _NO_NUMBER = 1, 2, 4, 8, 16
"""Bits of the state that elements inherit: in a link; invisible; line breaks count; what they do not hold."""
_RARELY_TEXT = frozenset(("img", "script"))
"""Elements without text, unless it is a formula."""
_PROSE = frozenset(("blockquote", "ol", "p", "table", "ul"))
"""Elements that are not expected in a listing which is one by its style alone."""
_MAX_VISIBLE, _SHOWN_LATER = 1000, 4
"""On a page with fewer visible characters, an element with more hidden ones by this factor is shown later."""
_MAX_COPIES = 3
"""Visual copies of one formula, before its source."""
_MAX_NOTE = 3
"""Characters of the longest footnote mark that is put into brackets."""


class _Entered(NamedTuple):
    """An element to visit: its first child, and the state that its children inherit."""

    child: LexborNode | None
    state: int
    after: str = ""
    """Text after the children; a blank or :data:`BREAK` separate them from the text after them."""


def parse_blocks(html: str | bytes) -> Blocks:
    """Parse a page into blocks; bytes are decoded as UTF-8. Time and memory are linear in its length."""
    tree = LexborHTMLParser(html, options=LexborDocumentOptions.WO_EVENTS)
    title = tree.css_first("title")
    visitor = _Visitor(title.text() if title else "")
    if tree.body is not None:
        visitor.visit(tree.body)
        if shown_later := _shown_later(visitor):
            visitor = _Visitor(visitor.blocks.title, shown_later)
            visitor.visit(tree.body)
    return visitor.blocks


def _shown_later(visitor: "_Visitor") -> frozenset[int]:
    """Return the hidden elements (``mem_id``) with nearly all text of the page: a script will show them."""
    visible = sum(map(len, visitor.blocks.texts))
    found = set()
    for node in visitor.hidden if visible <= _MAX_VISIBLE else ():
        if len(node.text(deep=True)) > _SHOWN_LATER * visible:  # includes scripts
            inside = _Visitor("")
            inside.visit(node)
            if sum(map(len, inside.blocks.texts)) > _SHOWN_LATER * visible:
                found.add(node.mem_id)
    return frozenset(found)


class _Visitor:
    """Visits the nodes of a page in document order."""

    def __init__(self, title: str, shown: frozenset[int] = frozenset()) -> None:
        self.blocks = Blocks(title)
        self.hidden: list[LexborNode] = []
        """Hidden elements, without those inside others."""
        self._builder = BlockBuilder(self.blocks)
        self._shown = shown
        """Elements (``mem_id``) that are visited although they are hidden."""
        self._known = classes().keys()
        self._plain: set[str] = set()
        """Values of ``class`` without a known name."""
        self._plain_styles: set[str] = set()
        """Values of ``style`` without an effect."""

    def visit(self, root: LexborNode) -> None:
        """Add the blocks of an element. Python objects are created only for the properties that are read."""
        builder, plain, is_known, may_hide = self._builder, self._plain, self._is_known, self._may_hide
        open_element, add_text, by_number = builder.open_element, builder.text, BY_NUMBER.get
        element, state = open_element(root.tag or "", -1, root.attributes), 0
        # For each open element: its next sibling, with the element and state there, and the text after it.
        above: list[tuple[LexborNode | None, int, int, str]] = []
        node = root.first_child
        while node is not None or above:
            if node is None:
                node, element, state, after = above.pop()
                if after:
                    self._add(after, element, state)
                continue
            text = node.text_content
            if text is not None:
                if not text or text.isspace():
                    builder.space += text
                elif state > _LINKED:
                    self._add(text, element, state)
                else:
                    add_text(text, element, state == _LINKED)
                node = node.next
                continue
            tag, role = by_number(node.tag_id) or tag_and_role(node)
            if tag == "br":
                builder.line_break()
            elif role != OMITTED:
                attributes, inner, inner_state, after = node.attributes, element, state, ""
                if role & IS_SPECIAL or (
                    attributes
                    and (
                        (
                            (name := attributes.get("class")) is not None
                            and name not in plain
                            and is_known(name)
                        )
                        or (
                            (len(attributes) > 1 or name is None)
                            and not HIDING.isdisjoint(attributes)
                            and may_hide(attributes)
                        )
                    )
                ):
                    skipped = tag in _RARELY_TEXT and not formulas.may_be_formula(tag, attributes)
                    entered = None if skipped else self._enter(node, tag, attributes, element, state)
                    if entered is None:
                        node = node.next
                        continue
                    child, inner_state, after = entered
                else:
                    child = node.first_child
                if role & IS_BLOCK:
                    inner = open_element(tag, element, attributes)
                if child is not None:
                    above.append((node.next, element, state, after))
                    node, element, state = child, inner, inner_state | _LINKED if tag == "a" else inner_state
                    continue
            node = node.next
        builder.finish()

    def _is_known(self, names: str) -> bool:
        if self._known.isdisjoint(names.split()):
            self._plain.add(names)
            return False
        return True

    def _may_hide(self, attributes: Attributes) -> bool:
        """True if one of the attributes in :data:`HIDING` may have an effect."""
        style = attributes.get("style")
        if style and style not in self._plain_styles:
            if is_relevant(style):
                return True
            self._plain_styles.add(style)
        return "aria-hidden" in attributes or "hidden" in attributes or "popover" in attributes

    def _add(self, text: str, element: int, state: int) -> None:
        """Add text in a state other than the usual ones, a blank or a line break."""
        if state & _INVISIBLE:
            return
        if text == BREAK:
            self._builder.new_line()
        elif text == " ":
            self._builder.space = " "
        else:
            text = text.strip("\n").replace("\n", BREAK) if state & _LINES else text
            self._builder.text(text, element, bool(state & _LINKED))

    def _enter(
        self, node: LexborNode, tag: str, attributes: Attributes, element: int, state: int
    ) -> _Entered | None:
        """Return how to visit the children of a special element, or None if they are not visited."""
        name = attributes.get("class")
        kind = "" if name is None or name in self._plain else kind_of(name)
        shown = Display.SHOWN
        if not HIDING.isdisjoint(attributes):
            shown = self._display(node, tag, attributes, kind)
        if shown is Display.SHOWN and not kind and tag not in SPECIAL:
            return _Entered(node.first_child, state)
        entered = self._enter_displayed(node, tag, attributes, state, shown)
        if entered is None:
            return None
        if self._is_listing(node, tag, kind, shown, state):
            found = listing(node, _PROSE if shown is Display.PREFORMATTED else frozenset())
            if found is not None:
                self._add_listing(found, node, tag, attributes, element, entered.state)
                return None
            lines = _LINES if shown is Display.PREFORMATTED or tag in PREFORMATTED else 0
            return entered._replace(state=entered.state | _NO_LISTING | lines)
        if kind:
            entered = self._enter_kind(node, kind, element, entered)
        return (
            self._enter_tag(node, tag, attributes, element, entered)
            if entered and tag in SPECIAL
            else entered
        )

    def _display(self, node: LexborNode, tag: str, attributes: Attributes, kind: str) -> Display:
        """Return the effect of an element's attributes, except on copies of formulas."""
        if kind == "formula_source":
            return Display.SHOWN
        if tag == "img":  # images whose alternative text is a formula are hidden from screen readers only
            attributes = {name: value for name, value in attributes.items() if name != "aria-hidden"}
        shown = display(tag, attributes)
        is_exempt = node.mem_id in self._shown or (kind == "formula_drawing" and node.prev is None)
        return Display.SHOWN if is_exempt and shown in (Display.HIDDEN, Display.INVISIBLE) else shown

    def _enter_displayed(
        self, node: LexborNode, tag: str, attributes: Attributes, state: int, shown: Display
    ) -> _Entered | None:
        """Apply the effect of an element's attributes."""
        if tag == "dialog" and "open" not in attributes and node.mem_id not in self._shown:
            shown = Display.HIDDEN
        after = ""
        if shown in (Display.HIDDEN, Display.INVISIBLE):
            self.hidden.append(node)
            if shown is Display.HIDDEN:
                return None
            state |= _INVISIBLE
        elif shown is Display.VISIBLE:
            state &= ~_INVISIBLE
        elif shown is Display.BLOCK and tag not in BLOCK_LEVEL:
            self._builder.new_line()
            after = BREAK
        elif shown is Display.LINES or (shown is Display.PREFORMATTED and tag not in BLOCK_LEVEL):
            state |= _LINES
        elif shown is Display.UNPRINTED and _has_only_text(node):
            return None
        return _Entered(node.first_child, state, after)

    def _is_listing(self, node: LexborNode, tag: str, kind: str, shown: Display, state: int) -> bool:
        if tag in PREFORMATTED:
            return True
        if state & _NO_LISTING:
            return False
        if kind == "listing" or (shown is Display.PREFORMATTED and tag in BLOCK_LEVEL):
            return True
        if kind == "listing_of_lines":
            line = _next_element(node.first_child, inclusive=True)
            if line is not None and (
                line.tag == "li" or kind_of(line.attributes.get("class")) == "code_line_like"
            ):
                return True
        return is_code_table(node) if tag == "table" else tag == "code" and _is_code_block(node)

    def _add_listing(
        self, found: Listing, node: LexborNode, tag: str, attributes: Attributes, element: int, state: int
    ) -> None:
        is_gutter = found.is_line_numbers and _is_in_first_cell(node)
        if found.text and not state & _INVISIBLE and not is_gutter:
            inner = self._builder.open_element(tag, element, attributes) if tag in BLOCK_LEVEL else element
            linked = len(found.text) if state & _LINKED else found.linked
            self._builder.preformatted(found.text, inner, linked)

    def _enter_kind(self, node: LexborNode, kind: str, element: int, entered: _Entered) -> _Entered | None:
        """Enter an element whose class has a known meaning."""
        if kind == "screen_reader_only":
            return entered if _is_beside_aria_hidden(node) else None
        if kind == "formula_copy":
            return None if _is_before_formula(node) else entered
        if kind == "line_number" and not entered.state & _NO_NUMBER:
            return None if is_number(node) else entered._replace(state=entered.state | _NO_NUMBER)
        if kind == "formula_tex" and (found := formulas.from_text(node, node.attributes)) is not None:
            self._add_formula(found, element, entered.state)
            return None
        if kind == "margin_note" and node.tag not in BLOCK_LEVEL:
            self._builder.space = self._builder.space or " "
            return self._enclose("(", ")", element, entered)
        return entered

    def _enter_tag(
        self, node: LexborNode, tag: str, attributes: Attributes, element: int, entered: _Entered
    ) -> _Entered | None:
        """Enter an element whose name has more meaning than that of its children."""
        match tag:
            case "img" | "script" | "d-math" | "math" | "m:math" | "mml:math":
                self._add_formula(formulas.formula(node, tag, attributes), element, entered.state)
                return None
            case "sup" | "sub":
                return self._enter_script(node, tag, element, entered)
            case "q":
                return self._enclose("“", "”", element, entered)
            case "rt":
                return self._enclose("(", ")", element, entered) if entered.child else None
            case "ins" if (before := node.prev) is not None and before.tag == "del":
                self._builder.space = self._builder.space or " "
            case "object" if "data" in attributes:
                return None
            case "template":
                fragments = node.template_fragments() if "shadowrootmode" in attributes else ()
                return entered._replace(child=fragments[0].first_child) if fragments else None
            case "mjx-container" if formulas.is_display(attributes):
                self._builder.new_line()
                return entered._replace(after=BREAK)
        return entered

    def _enclose(self, before: str, after: str, element: int, entered: _Entered) -> _Entered:
        """Enter an element between two marks."""
        self._add(before, element, entered.state)
        return entered._replace(after=after)

    def _add_formula(self, found: "formulas.Formula", element: int, state: int) -> None:
        if found.text:
            if found.is_display:
                self._builder.new_line()
            self._add(found.text, element, state)
            if found.is_display:
                self._builder.new_line()

    def _enter_script(self, node: LexborNode, tag: str, element: int, entered: _Entered) -> _Entered:
        """Enter a superscript or subscript, after the mark that separates it from its base."""
        content = scripts.short_text(node)
        if tag == "sup" and 0 < len(content) <= _MAX_NOTE and content.isalnum() and _links_to_note(node):
            return self._enclose("[", "]", element, entered)
        base = self._builder.text_before(element, scripts.BASE_LENGTH)
        following = node.next.text_content or "" if node.next is not None else ""
        if mark := scripts.mark(tag, base, content, following):
            self._add(mark, element, entered.state)
            if mark != " " and following[:1].isdecimal():
                return entered._replace(after=" ")
        return entered


def _has_only_text(node: LexborNode) -> bool:
    child = node.first_child
    return child is not None and child.text_content is not None and child.next is None


def _is_code_block(node: LexborNode) -> bool:
    """True if a ``code`` element is all text of its parent and has several lines."""
    for sibling in (node.prev, node.next):
        if sibling is not None and (sibling.tag != "-text" or not (sibling.text_content or "").isspace()):
            return False
    parent, child = node.parent, node.first_child
    if parent is None or parent.tag not in BLOCK_LEVEL:
        return False
    return (child is not None and child.tag in BLOCK_LEVEL) or "\n" in node.text(deep=True).strip()


def _is_in_first_cell(node: LexborNode) -> bool:
    """True if an element is in a cell that is not the last of its row."""
    cell = node.parent
    while cell is not None and cell.tag == "div":
        cell = cell.parent
    return cell is not None and cell.tag in ("td", "th") and _next_element(cell) is not None


def _next_element(node: LexborNode | None, inclusive: bool = False) -> LexborNode | None:
    node = node.next if node is not None and not inclusive else node
    while node is not None and not node.is_element_node:
        node = node.next
    return node


def _is_beside_aria_hidden(node: LexborNode) -> bool:
    """True if text for screen readers stands for text that is hidden from them, and left out as well."""
    for sibling in (node.prev, node.next):
        if (
            sibling is not None
            and sibling.is_element_node
            and sibling.attributes.get("aria-hidden") == "true"
        ):
            return bool(sibling.text(deep=True).strip())
    return False


def _is_before_formula(node: LexborNode) -> bool:
    """True if the source of a formula follows its visual copies."""
    following = _next_element(node)
    for _ in range(_MAX_COPIES):
        if following is None or kind_of(following.attributes.get("class")) != "formula_copy":
            break
        following = _next_element(following)
    return following is not None and following.tag == "script" and formulas.is_source(following.attributes)


def _links_to_note(node: LexborNode) -> bool:
    """True if a superscript is a link to a place on the page, or all text of such a link."""
    child = node.first_child
    if child is None or child.tag != "a":
        child = node.parent if node.prev is None and node.next is None else None
    return child is not None and child.tag == "a" and "#" in (child.attributes.get("href") or "")
