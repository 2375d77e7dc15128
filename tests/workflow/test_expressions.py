"""GitHub's expression language: what its documentation promises, what its runner does beyond that, and no crash."""

import json
import math
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.workflow.expressions import (
    AVAILABILITY,
    CANCELLED,
    FAILURE,
    Expression,
    ExpressionError,
    Scope,
    condition_warning,
    evaluate,
    evaluate_condition,
    injection_risks,
    misuses,
    parse,
    parse_condition,
    parse_template,
    references,
    render,
    render_value,
    unparse,
)
from mainstay.workflow.expressions.names import CONTEXTS, FUNCTIONS
from mainstay.workflow.expressions.syntax import And, Call, Compare, Context, Filter, Index, Literal, Not, Or
from mainstay.workflow.expressions.values import Filtered

FRUITS = [{"name": "apple", "quantity": 1}, {"name": "orange", "quantity": 2}, {"name": "pear", "quantity": 1}]
VEGETABLES = {
    "scallions": {"colors": ["green", "white"], "ediblePortions": ["roots", "stalks"]},
    "beets": {"colors": ["purple"], "ediblePortions": ["roots", "stems", "leaves"]},
    "odd": 3,
}
SCOPE = Scope(
    {
        "github": {
            "ref": "refs/heads/main",
            "event_name": "push",
            "event": {"issue": {"labels": [{"name": "bug"}, {"name": "help wanted"}]}, "fruits": FRUITS},
            "vegetables": VEGETABLES,
        },
        "env": {"CONTINUE": "true", "time": "3"},
        "matrix": {"os": "linux", "py": [3, 4], "nested": [[1, 2], [3]], "empty": [], "nothing": {}, "true": "it"},
        "needs": {"a-b": {"outputs": {"list": '["x", "y"]'}}},
        "steps": {},
    }
)

VALUES: list[tuple[str, object]] = [
    # Literals, from "Evaluate expressions".
    ("null", None),
    ("false", False),
    ("711", 711),
    ("-9.2", -9.2),
    ("0xff", 255),
    ("0xFFFFFFFF", -1),
    ("0o17", 15),
    ("-2.99e-2", -0.0299),
    (".5", 0.5),
    ("+1.E2", 100),
    ("Infinity", math.inf),
    ("-Infinity", -math.inf),
    ("'It''s open source!'", "It's open source!"),
    ("''", ""),
    # Properties and indexes.
    ("github.ref", "refs/heads/main"),
    ("github['ref']", "refs/heads/main"),
    ("GitHub.REF", "refs/heads/main"),
    ("github.nope", None),
    ("github.nope.deeper[3].x", None),
    ("github.ref.length", None),
    ("needs.a-b.outputs", {"list": '["x", "y"]'}),
    ("matrix.true", "it"),
    ("matrix.py[0]", 3),
    ("matrix.py['1']", 4),
    ("matrix.py[1.9]", 4),
    ("matrix.py[2]", None),
    ("matrix.py[-1]", None),
    ("matrix.py[NaN]", None),
    ("matrix.py['x']", None),
    ("matrix[github.nope]", None),
    ("matrix[format('{0}s', 'o')]", "linux"),
    ("('a').b", None),
    ("env.CONTINUE", "true"),
    ("env.continue", None),
    # Object filters.
    ("github.event.fruits.*.name", ["apple", "orange", "pear"]),
    ("github.event.fruits[*].nope", []),
    ("github.vegetables.*.ediblePortions", [["roots", "stalks"], ["roots", "stems", "leaves"]]),
    ("github.vegetables.*.colors[0]", ["green", "purple"]),
    ("github.vegetables.*.colors.*", ["green", "white", "purple"]),
    ("matrix.nested.*[1]", [2]),
    ("github.ref.*", []),
    ("matrix.empty.*", []),
    # Operators bind as documented and give their operands.
    ("!github.nope", True),
    ("!!'x'", True),
    ("!2 < 3", True),
    ("!(2 < 3)", False),
    ("3 < 2 < 1", True),
    ("3 < (2 < 1)", False),
    ("2 <= 3 == true", True),
    ("2 == 2 != 0", True),
    ("1 || 2 && 3", 1),
    ("(1 || 2) && 3", 3),
    ("false && 0 || null", None),
    ("false || ''", ""),
    ("1 == 1 && 'b'", "b"),
    ("NaN || 'x'", "x"),
    ("matrix.empty && 'lists are true'", "lists are true"),
    ("matrix.nothing && 'objects are true'", "objects are true"),
    # Loose equality and order.
    ("null == 0", True),
    ("null == ''", True),
    ("null == null", True),
    ("true == 1", True),
    ("true == '1'", True),
    ("true == 'true'", False),
    ("'' == 0", True),
    ("' 0x10 ' == 16", True),
    ("'1e1' == 10", True),
    ("'1_0' == 10", False),
    ("'Infinity' == Infinity", True),
    ("'a' == 'A'", True),
    ("'ς' == 'Σ'", True),
    ("'ü' == 'Ü'", True),
    ("'ß' == 'SS'", False),
    ("'i' == 'İ'", False),
    ("'ı' == 'I'", False),
    ("'ſ' == 's'", False),
    ("NaN == NaN", False),
    ("NaN != NaN", True),
    ("NaN < 1 || NaN >= NaN", False),
    ("'x' < 1 || 'x' >= 1", False),
    ("matrix.py == matrix.py", True),
    ("matrix.py == fromJSON('[3,4]')", False),
    ("matrix.py == 'Array'", False),
    ("matrix.nothing == matrix.empty", False),
    ("matrix.py <= matrix.py", True),
    ("matrix.py < 'a' || matrix.py > 1", False),
    ("'def' > 'abc'", True),
    ("'a' < '['", True),
    ("'B' > 'a'", True),
    ("true > false", True),
    ("false > -11", True),
    ("'2' > true", True),
    ("null > ' -1 '", True),
    # Functions.
    ("contains('Hello world', 'LLO')", True),
    ("contains(github.event.issue.labels.*.name, 'Bug')", True),
    ("""contains(fromJSON('["push", "pull_request"]'), github.event_name)""", True),
    ("contains(matrix.py, '3')", True),
    ("contains(github, 'ref')", False),
    ("contains('x', matrix.py)", False),
    ("contains('x', '')", True),
    ("contains(1234, 23)", True),
    ("startsWith('Hello world', 'he')", True),
    ("startsWith('Hello', 'Hello!')", False),
    ("endsWith('Hello world', 'LD')", True),
    ("endsWith('1234', 34)", True),
    ("endsWith('asdf', null)", True),
    ("endsWith('asdf_σ', 'ς')", True),
    ("endsWith('asdf_i', 'İ')", False),
    ("startsWith(matrix.py, 'A')", False),
    ("format('Hello {0} {1} {2}', 'Mona', 'the', 'Octocat')", "Hello Mona the Octocat"),
    ("format('{{Hello {0} {1} {2}!}}', 'Mona', 'the', 'Octocat')", "{Hello Mona the Octocat!}"),
    ("format('{{{{0}}}}', 'abc')", "{{0}}"),
    ("format('}}{{{0}', 'abc')", "}{abc"),
    ("format('{0}{0}', 1)", "11"),
    ("format(null)", ""),
    ("join(github.event.issue.labels.*.name, ', ')", "bug, help wanted"),
    ("join(matrix.py)", "3,4"),
    ("join('abc', '-')", "abc"),
    ("join(github)", ""),
    ("join(matrix.py, matrix.nothing)", "3,4"),
    ("join(matrix.nested, null)", "ArrayArray"),
    ("fromJSON('[1, 2.5, \"a\", null, {}]')", [1, 2.5, "a", None, {}]),
    ("fromJSON(needs.a-b.outputs.list)[1]", "y"),
    ("fromJSON(env.CONTINUE)", True),
    ("fromJSON(env.time)", 3),
    ("fromJSON('-0')", 0),
    ("fromJSON('1e400')", math.inf),
    ("toJSON(null)", "null"),
    ("toJSON('a\"b')", '"a\\"b"'),
    ("toJSON('é\u2028')", '"é\\u2028"'),
    ("toJSON(matrix.empty)", "[]"),
    ("toJSON(matrix.nothing)", "{}"),
    ("toJSON(matrix.nested)", "[\n  [\n    1,\n    2\n  ],\n  [\n    3\n  ]\n]"),
    ("toJSON(needs)", '{\n  "a-b": {\n    "outputs": {\n      "list": "[\\"x\\", \\"y\\"]"\n    }\n  }\n}'),
    ("case(github.ref == 'refs/heads/main', 'production', 'development')", "production"),
    ("case(false, 1, 1 == 1, 'second', 'third')", "second"),
    ("case(false, fromJSON(''), 'not evaluated')", "not evaluated"),
    ("success()", True),
    ("failure() || cancelled()", False),
    ("ALWAYS()", True),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_an_expression_has_the_value_that_github_documents(text: str, value: object) -> None:
    found = evaluate(parse(text), SCOPE)
    assert found == value
    assert type(found) is type(value)
    assert evaluate(parse(unparse(parse(text))), SCOPE) == value


def test_nan_is_a_value_and_false() -> None:
    assert math.isnan(evaluate(parse("NaN"), SCOPE))
    assert not evaluate_condition("NaN", SCOPE)


TEXTS = [
    ("null", ""),
    ("true", "true"),
    ("1", "1"),
    (".5", "0.5"),
    ("-2.0", "-2"),
    ("-0", "0"),
    ("-0.0", "0"),
    ("1.2E+2", "120"),
    ("1.2e-2", "0.012"),
    ("123456.789", "123456.789"),
    ("0.84551240822557006", "0.84551240822557"),
    ("999999999999999", "999999999999999"),
    ("1e15", "1E+15"),
    ("12345678901234567", "1.23456789012346E+16"),
    ("1e-5", "1E-05"),
    ("0.0001", "0.0001"),
    ("Infinity", "Infinity"),
    ("-Infinity", "-Infinity"),
    ("NaN", "NaN"),
    ("matrix.py", "Array"),
    ("matrix.py.*", "Array"),
    ("github", "Object"),
]


@pytest.mark.parametrize(("text", "written"), TEXTS)
def test_a_value_is_written_into_text_as_github_writes_it(text: str, written: str) -> None:
    assert render(parse_template(f"<${{{{ {text} }}}}>"), SCOPE) == f"<{written}>"
    assert evaluate(parse(f"format('{{0}}', {text})"), SCOPE) == written


ERRORS = [
    ("", 1, "there is no expression"),
    ("  ", 3, "there is no expression"),
    ('"a"', 1, "single quotes"),
    ("'a", 1, "no closing quote"),
    ("github.", 8, "name of a property"),
    ("github.1", 7, "unexpected .1"),
    ("github.b@r", 9, "unexpected @"),
    ("'a'.b", 4, "unexpected ."),
    ("1 = 1", 3, "equality is =="),
    ("a & b", 1, "not a context"),
    ("1 & 2", 3, "and is &&"),
    ("1 | 2", 3, "or is ||"),
    ("1 ? 2 : 3", 3, "write case(a, b, c)"),
    ("github.ref + 'x'", 12, "no arithmetic"),
    ("${{ 1 }}", 1, "inside another expression"),
    ("1 2", 3, "unexpected 2"),
    ("1-2", 1, "1-2 is not a number"),
    ("0xg", 1, "not a number"),
    ("(1", 3, 'closing ")"'),
    ("1)", 2, "unexpected )"),
    ("github[", 8, "a value"),
    ("github['a'", 11, 'closing "]"'),
    ("* ", 1, "unexpected *"),
    ("githb.ref", 1, 'did you mean "github"?'),
    ("1 && contain('a', 'b')", 6, 'did you mean "contains"?'),
    ("success", 1, "is a function and needs brackets"),
    ("contains('a')", 1, "takes 2 arguments, here are 1"),
    ("toJSON()", 1, "takes 1 argument, here are 0"),
    ("join(1, 2, 3)", 1, "takes 1 to 2 arguments"),
    ("case(true, 1, false, 2)", 1, "pairs"),
    ("join(1,)", 8, "a value"),
    ("(" * 10_000, 51, "deeper than the limit of 50"),
    ("!" * 10_000 + "1", 51, "deeper than the limit of 50"),
    ("github" + ".a" * 10_000, None, "deeper than the limit of 50"),
    ("github[" * 3_000, 357, "deeper than the limit of 50"),
    ("1" + " == 1" * 4_000, None, "deeper than the limit of 50"),
    ("format(" * 3_000, 351, "deeper than the limit of 50"),
    ("'" + "a" * 30_000 + "'", 21_001, "longer than the limit of 21000"),
]


@pytest.mark.parametrize(("text", "column", "words"), ERRORS, ids=lambda each: str(each)[:30])
def test_a_mistake_is_named_with_its_place(text: str, column: int | None, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    error = caught.value
    assert words in error.message
    assert column in (None, error.column)
    if text.strip():
        line, caret = error.excerpt.splitlines()
        assert len(line) < 150
        assert caret.strip() == "^"


def test_a_chain_of_and_is_flat_and_as_long_as_one_likes() -> None:
    tree = parse(" && ".join(["true"] * 2_000))
    assert isinstance(tree, And)
    assert len(tree.operands) == 2_000
    assert parse("(true && false) && (true && false)") == parse("true && false && true && false")


def test_an_error_in_the_third_line_of_a_template_says_so() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_template("echo one\necho two\n  echo ${{ githb.ref }}\nrest")
    assert (caught.value.line, caught.value.column) == (3, 12)
    assert caught.value.excerpt.splitlines()[0].strip() == "echo ${{ githb.ref }}"


FAILURES = [
    ("runner.os", 'the context "runner" is not available here; available are: env, github'),
    ("fromJSON('')", "the text is empty"),
    ("fromJSON('[1')", "the text is not JSON"),
    ("fromJSON('NaN')", "NaN is not a JSON value"),
    ("fromJSON(github)", "reads text"),
    ("fromJSON('" + "[" * 5_000 + "')", "deeper than the limit of 100"),
    ("fromJSON('" + "[" * 102 + "]" * 102 + "')", "deeper than the limit of 100"),
    ("fromJSON('\"\\ud800\"')", "surrogate"),
    ("format('{0', 1)", "a lone {"),
    ("format('0}', 1)", "a lone }"),
    ("format('{0}}', 1)", "a lone }"),
    ("format('{a}', 1)", "a lone {"),
    ("format('{1}', 1)", "there are 1 values"),
    ("format('{99999}', 1)", "a lone {"),
    ("case('x', 1, 2)", "must be true or false, and this is a text"),
    ("hashFiles('**')", "in steps only"),
]


@pytest.mark.parametrize(("text", "words"), FAILURES, ids=lambda each: str(each)[:30])
def test_what_cannot_be_evaluated_is_said_with_the_part_at_fault(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match="cannot evaluate") as caught:
        evaluate(parse(f"true && ({text})"), SCOPE)
    assert words in caught.value.message
    assert "true &&" not in caught.value.message


def test_hash_files_gets_its_patterns_and_its_errors_pass() -> None:
    assert evaluate(parse("hashFiles('**/a', 1)"), Scope({}, hash_files="+".join)) == "**/a+1"

    def fail(patterns: tuple[str, ...]) -> str:
        raise OSError(patterns[0])

    with pytest.raises(OSError, match="gone"):
        evaluate(parse("hashFiles('gone')"), Scope({}, hash_files=fail))


def test_status_functions_outside_of_conditions_are_refused() -> None:
    with pytest.raises(ExpressionError, match="conditions"):
        evaluate(parse("success()"), Scope({}, status=None))


CONDITIONS = [
    (None, True, False, False),
    ("", True, False, False),
    ("always()", True, True, True),
    ("${{ always() }}", True, True, True),
    ("failure()", False, True, False),
    ("!cancelled()", True, True, False),
    ("cancelled()", False, False, True),
    ("github.ref == 'refs/heads/main'", True, False, False),
    ("  ${{ github.ref == 'refs/heads/main' }} ", True, False, False),
    ("true || failure()", True, True, True),
    ("false || true", True, False, False),
    ("matrix.os == 'linux' && (failure() || cancelled())", False, True, True),
    ("${{ false }} == 'x'", True, False, False),
]


@pytest.mark.parametrize(("text", "success", "failed", "cancelled"), CONDITIONS)
def test_a_condition_without_a_status_function_needs_success(
    text: str | None, success: bool, failed: bool, cancelled: bool
) -> None:
    contexts = SCOPE.contexts
    assert evaluate_condition(text, SCOPE) is success
    assert evaluate_condition(text, Scope(contexts, status=FAILURE)) is failed
    assert evaluate_condition(text, Scope(contexts, status=CANCELLED)) is cancelled


def test_a_condition_with_text_around_the_braces_is_warned_of() -> None:
    assert "always true" in (condition_warning("${{ github.ref }} == 'x'") or "")
    assert condition_warning("${{ github.ref == 'x' }}") is None
    assert condition_warning(" github.ref == 'x' ") is None


@pytest.mark.parametrize("text", ["secrets.A == ''", "  ${{ secrets.A == '' }}", "${{ 1 }} == ${{ secrets.A }}"])
def test_places_in_a_condition_count_in_the_text_as_written(text: str) -> None:
    (error,) = misuses(parse_condition(text), "jobs.<job_id>.steps.if", text)
    assert text[error.offset :].startswith("secrets.A")
    with pytest.raises(ExpressionError) as caught:
        parse_condition(text.replace("secrets", "nope"))
    assert text[caught.value.offset :].startswith("secrets.A")


TEMPLATES = [
    ("", "", ""),
    ("plain $ { } }} {{ x }}", "plain $ { } }} {{ x }}", "plain $ { } }} {{ x }}"),
    ("py-${{ matrix.py[0] }}-${{ matrix.os }}", "py-3-linux", "py-3-linux"),
    ("${{ matrix.py[0] }}", "3", 3),
    ("${{matrix.py}}", "Array", [3, 4]),
    (" ${{ matrix.py[0] }}", " 3", " 3"),
    ("${{ '}}' }}", "}}", "}}"),
    ("${{ '${{' }}", "${{", "${{"),
    ("${{ 'it''s }}' }}!", "it's }}!", "it's }}!"),
    ("${{ github.nope }}", "", None),
    ("${{ fromJSON('{\"a\": [true]}') }}", "Object", {"a": [True]}),
    ('${{ fromJSON(\'{"a":{"b":1}}\').a.b }}', "1", 1),
]


@pytest.mark.parametrize(("text", "rendered", "value"), TEMPLATES)
def test_a_template_gives_its_text_and_a_lone_expression_its_value(text: str, rendered: str, value: object) -> None:
    template = parse_template(text)
    assert render(template, SCOPE) == rendered
    assert render_value(template, SCOPE) == value


@pytest.mark.parametrize("text", ["a ${{ github.ref", "${{ 'x }}", "${{ }}", "${{ 1 }} ${{ 2", "${{ 1 } }"])
def test_a_template_without_its_end_or_its_expression_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_template(text)


def test_references_name_contexts_with_their_paths_and_functions() -> None:
    text = "x ${{ needs.a.outputs[matrix.os].*.y && contains(github['event'].x[0], env.A) }} ${{ success() }}"
    found = references(parse_template(text))
    assert [each.path for each in found] == [
        ("needs", "a", "outputs", "*", "*", "y"),
        ("matrix", "os"),
        ("contains",),
        ("github", "event", "x", "0"),
        ("env", "A"),
        ("success",),
    ]
    assert all(text[each.offset :].startswith(each.path[0]) for each in found)


def test_availability_is_githubs_table() -> None:
    assert AVAILABILITY["jobs.<job_id>.if"].contexts == {"github", "needs", "vars", "inputs"}
    assert AVAILABILITY["jobs.<job_id>.steps.run"].contexts == set(CONTEXTS) - {"jobs"}
    assert "secrets" not in AVAILABILITY["jobs.<job_id>.steps.if"].contexts
    assert "hashFiles" in AVAILABILITY["jobs.<job_id>.steps.if"].functions
    for offered in AVAILABILITY.values():
        assert offered.contexts <= set(CONTEXTS)
        assert offered.functions <= set(FUNCTIONS)


def test_a_context_or_function_in_the_wrong_key_is_named_with_its_place() -> None:
    template = parse_template("a\n${{ matrix.x || env.A }} ${{ hashFiles('a') }}")
    first, second = misuses(template, "jobs.<job_id>.runs-on")
    assert (first.line, first.column) == (2, 17)
    assert 'the context "env" cannot be used in jobs.<job_id>.runs-on' in first.message
    assert "the function hashFiles cannot be used" in second.message
    assert misuses(template, "jobs.<job_id>.steps.run") == ()
    assert len(misuses(parse("github.ref"), "jobs.<job_id>.uses")) == 1


RISKS = [
    ("echo ${{ github.event.head_commit.message }}", ["github.event.head_commit.message"]),
    ("echo '${{ github.event.issue.title }} ${{ github.event.issue.number }}'", ["github.event.issue.title"]),
    ("${{ github.head_ref || github.ref_name }}", ["github.head_ref"]),
    ("${{ github.event.pull_request.head.ref }}", ["github.event.pull_request.head.ref"]),
    ("${{ github.event.commits[0].author.email }}", ["github.event.commits[0].author.email"]),
    ("${{ join(github.event.commits.*.message, ' ') }}", ["github.event.commits.*.message"]),
    ("${{ toJSON(github.event) }}", ["github.event"]),
    ("${{ toJSON(github) }}", ["github"]),
    ("${{ format('{0}', GITHUB.Event.Comment.Body) }}", ["github.Event.Comment.Body"]),
    ("${{ case(true, github.head_ref, 'x') }}", ["github.head_ref"]),
    ("${{ contains(github.event.head_commit.message, 'x') }}", []),
    ("${{ github.head_ref == 'x' && 'a' || 'b' }}", []),
    ("${{ github.event.repository.name }} ${{ github.sha }} ${{ github.event.inputs.name }}", []),
    ("${{ env.TITLE }} ${{ steps.a.outputs.body }}", []),
    ("${{ broken", []),
]


@pytest.mark.parametrize(("script", "paths"), RISKS)
def test_strangers_text_pasted_into_a_script_is_found(script: str, paths: list[str]) -> None:
    found = injection_risks(script)
    assert [each.path for each in found] == paths
    for risk in found:
        assert script[risk.offset :].lower().startswith("github")
        assert risk.path in risk.message


# Bounds


def _fails_fast(text: str, scope: Scope, words: str) -> None:
    started = time.process_time()
    with pytest.raises(ExpressionError, match=words):
        render(parse_template(f"${{{{ {text} }}}}"), scope)
    assert time.process_time() - started < 20  # measured: under a second


def test_a_result_that_doubles_is_stopped() -> None:
    text = "'0123456789'"
    for _ in range(30):
        text = f"format('{{0}}{{0}}', {text})"
    _fails_fast(text, SCOPE, "longer than the limit")
    nested = "github"
    for _ in range(40):
        nested = f"toJSON({nested})"
    _fails_fast(nested, SCOPE, "longer than the limit")


def test_searching_large_values_again_and_again_is_stopped() -> None:
    texts, keys = [str(n) for n in range(10_000)], {str(n): n for n in range(9_999)}
    scope = Scope({"github": {"long": "x" * 1_000_000, "same": "X" * 1_000_000, "texts": texts, "keys": keys}})
    _fails_fast(" || ".join(["contains(github.texts, 'y')"] * 600), scope, "steps")
    _fails_fast(" || ".join(["contains(github.long, 'y')"] * 500 + ["github.keys.nope"] * 250), scope, "steps")
    _fails_fast(" && ".join(["github.long == github.same"] * 700), scope, "steps")


def test_many_expressions_of_one_template_share_the_bounds() -> None:
    scope = Scope({"github": {"a": "x" * 1_000_000}})
    with pytest.raises(ExpressionError, match="longer than the limit"):
        render(parse_template("${{ github.a }}" * 100), scope)


# Properties

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
literals = st.builds(Literal, st.none() | st.booleans() | numbers | st.text(max_size=6))
names = st.sampled_from(["a", "ref", "event", "x-y", "_", "null", "true"]) | st.text(max_size=4)


def _flat(kind: type, inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    others = inner.filter(lambda node: not isinstance(node, kind))
    return st.lists(others, min_size=2, max_size=3).map(lambda nodes: kind(tuple(nodes)))


def _call(name: str, inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    least, most = FUNCTIONS[name]
    arguments = st.lists(inner, min_size=least, max_size=min(most, 3))
    return arguments.map(lambda nodes: Call(name, tuple(nodes)))  # type: ignore[arg-type]


def _deeper(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    return st.one_of(
        st.builds(Index, inner, inner),
        st.builds(Index, inner, names.map(Literal)),
        st.builds(Filter, inner),
        st.builds(Not, inner),
        st.builds(Compare, operators, inner, inner),
        _flat(And, inner),
        _flat(Or, inner),
        st.sampled_from(sorted(FUNCTIONS)).flatmap(lambda name: _call(name, inner)),
    )


trees = st.recursive(literals | st.sampled_from(CONTEXTS).map(Context), _deeper, max_leaves=12)


@given(trees)
@settings(max_examples=300, deadline=None)
def test_printing_and_parsing_agree(tree: Expression) -> None:
    text = unparse(tree)
    assert parse(text) == tree
    again = unparse(parse(text))
    assert unparse(parse(again)) == again


@given(trees, st.dictionaries(st.sampled_from(CONTEXTS), json_values))
@settings(max_examples=300, deadline=None)
def test_no_tree_crashes_the_evaluation(tree: Expression, contexts: dict[str, object]) -> None:
    scope = Scope(contexts, hash_files=lambda patterns: "digest")
    try:
        value = evaluate(tree, scope)
    except ExpressionError:
        return
    assert not isinstance(value, Filtered)


def _error_of(read: Callable[[str], object], text: str) -> ExpressionError | None:
    try:
        read(text)
    except ExpressionError as error:
        return error
    return None


alphabet = st.sampled_from(
    [
        *"()[].,*!<>='\"&|$ {}\n\t-+0x9aé",
        "github",
        "fromJSON(",
        "'a'",
        "&&",
        "==",
        "null",
        "1e9",
        "${{",
        "}}",
        "format(",
    ]
)


@given(st.lists(alphabet, max_size=40).map("".join))
@settings(max_examples=500, deadline=None)
def test_no_text_crashes_the_parser(text: str) -> None:
    for read in (parse, parse_template, parse_condition):
        error = _error_of(read, text)
        if error is not None:
            assert 0 <= error.offset <= len(text)
            assert error.message in str(error)
    injection_risks(text)


@given(json_values)
def test_what_to_json_writes_json_can_read(value: object) -> None:
    text = evaluate(parse("toJSON(github)"), Scope({"github": value}))
    json.loads(text)
