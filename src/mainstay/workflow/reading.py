"""Small readers that every part of a workflow file is read with: texts, templates, conditions, numbers, known keys.

Each gives a usable value and notes what is wrong; none raises. So one pass finds all the problems of a file.
"""

import re
from collections.abc import Collection, Iterator

from mainstay.model.plan import WHOLE
from mainstay.workflow.expressions import ExpressionError, Template, misuses, parse_condition, parse_template
from mainstay.workflow.expressions.templates import condition_warning
from mainstay.workflow.problems import Problems, suggestion
from mainstay.workflow.yaml import Mapping, Node, Scalar, Sequence

OUR_KEYS = frozenset({"reports", "retry", "priority", "limits", "in-order"})
"""Keys that GitHub does not know; they may stand in `.mainstay/` only."""

ONE_EXPRESSION = re.compile(r"\s*\$\{\{(?:(?!\}\}).)*\}\}\s*\Z", re.DOTALL)


class Reading:
    """What is shared while one file is read."""

    def __init__(self, problems: Problems, *, ours: bool) -> None:
        self.problems = problems
        self.ours = ours

    def mapping(self, node: Node, what: str, known: Collection[str] | None = None) -> Mapping | None:
        """The node as a mapping; keys that are not `known` are errors (None: any key may stand)."""
        if not isinstance(node, Mapping):
            self.problems.error(node, f"{what} must be a mapping (key: value), not {kind(node)}")
            return None
        for name, key in node.keys.items():
            if known is None or name in known:
                continue
            self._unknown(key, what, known)
        return node

    def _unknown(self, key: Scalar, what: str, known: Collection[str]) -> None:
        name = key.text
        if name in OUR_KEYS and not self.ours:
            message = f'the key "{name}" of Mainstay can be used in .mainstay/*.yml only'
        elif name == "<<":
            message = "merge keys (<<) are not part of YAML 1.2: write the keys out"
        else:
            message = f'unknown key "{name}" in {what}' + (suggestion(name, known) or f"; known are {', '.join(known)}")
        self.problems.error(key, message)

    def entries(self, node: Node, what: str) -> Iterator[tuple[Scalar, Node]]:
        """Each key and value of a mapping whose keys are names that the writer chose."""
        found = self.mapping(node, what)
        if found is not None:
            for name, key in found.keys.items():
                yield key, found.entries[name]

    def items(self, node: Node, what: str, *, one: bool = False) -> tuple[Node, ...]:
        """The nodes of a list; where `one` is true a single text stands for a list of one."""
        if isinstance(node, Sequence):
            return node.items
        if one and isinstance(node, Scalar):
            return (node,) if node.text or node.is_text else ()
        expected = "a text or a list" if one else "a list"
        self.problems.error(node, f"{what} must be {expected}, not {kind(node)}")
        return ()

    def text(self, node: Node | None, what: str) -> str | None:
        """A single text without expressions."""
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.problems.error(node, f"{what} must be a single text, not {kind(node)}")
            return None
        if "${{" in node.text:
            self.problems.error(node, f"{what} takes no expression", node.text.index("${{"))
        return node.text

    def texts(self, node: Node | None, what: str, *, one: bool = True) -> tuple[str, ...]:
        """A list of texts without expressions, or a single one."""
        if node is None:
            return ()
        found = (self.text(item, what) for item in self.items(node, what, one=one))
        return tuple(text for text in found if text is not None)

    def template(self, node: Node | None, key: str, what: str) -> str | None:
        """A text that may hold expressions over what is offered to `key` (of the availability table)."""
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.problems.error(node, f"{what} must be a single text, not {kind(node)}")
            return None
        if "${{" in node.text:
            self.checked(node, key)
        return node.text

    def checked(self, node: Scalar, key: str) -> Template | None:
        """The parsed template; its mistakes are noted, each at its place."""
        try:
            template = parse_template(node.text)
        except ExpressionError as error:
            self.problems.error(node, error.message, error.offset)
            return None
        for misuse in misuses(template, key):
            self.problems.error(node, misuse.message, misuse.offset)
        return template

    def templates(self, node: Node | None, key: str, what: str) -> dict[str, str]:
        """A mapping of names to templates: `env`, `with`, `outputs`."""
        if node is None:
            return {}
        if isinstance(node, Scalar) and not node.text and not node.is_text:
            return {}
        found = {}
        for name, value in self.entries(node, what):
            text = self.template(value, key, f"{name.text} in {what}")
            if text is not None:
                found[name.text] = "" if isinstance(value, Scalar) and value.value is None else text
        return found

    def environment(self, node: Node | None, key: str, what: str) -> dict[str, str]:
        """The key `env`: a mapping, or one expression that gives one."""
        if isinstance(node, Scalar) and ONE_EXPRESSION.match(node.text):
            return {WHOLE: node.text.strip()} if self.checked(node, key) is not None else {}
        return self.templates(node, key, what)

    def condition(self, node: Node | None, key: str, what: str) -> str | None:
        """The key `if`."""
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.problems.error(node, f"{what} must be an expression, not {kind(node)}")
            return None
        try:
            tree = parse_condition(node.text)
            odd = condition_warning(node.text)
        except ExpressionError as error:
            self.problems.error(node, error.message, error.offset)
            return None
        for misuse in misuses(tree, key, node.text):
            self.problems.error(node, misuse.message, misuse.offset)
        if odd:
            self.problems.warning(node, odd)
        text = node.text.strip()
        bare = text[3:-2].strip() if text.startswith("${{") and text.endswith("}}") else text
        return text if "${{" in bare else bare or None

    def flag(self, node: Node | None, key: str | None, what: str, default: str = "false") -> str:
        """`true`, `false`, or a template that gives one of them (where `key` names its availability)."""
        if node is None:
            return default
        if isinstance(node, Scalar):
            if node.text.lower() in ("true", "false") and not node.style:
                return node.text.lower()
            if key is not None and "${{" in node.text:
                self.checked(node, key)
                return node.text
        expected = "true, false or an expression" if key is not None else "true or false"
        self.problems.error(node, f"{what} must be {expected}")
        return default

    def minutes(self, node: Node | None, key: str, what: str) -> str | None:
        """`timeout-minutes` as a template of seconds (see `durations`)."""
        if node is None:
            return None
        if isinstance(node, Scalar):
            if "${{" in node.text:
                self.checked(node, key)
                return f"{node.text.strip()}m"
            value = node.value
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                return f"{value * 60:g}" if value < 1e6 else str(int(value * 60))
        self.problems.error(node, f"{what} must be a number of minutes above 0")
        return None

    def whole(self, node: Node | None, what: str, low: int, high: int) -> int | None:
        """A whole number between two bounds, both included."""
        if node is None:
            return None
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.problems.error(node, f"{what} must be a whole number from {low} to {high}")
        return None


def kind(node: Node) -> str:
    """What a node is, in words for an error."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar():
            return f'the text "{node.text[:40]}"' if node.text else "nothing"
