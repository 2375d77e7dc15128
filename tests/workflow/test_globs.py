"""Filter patterns by GitHub's cheat sheet, file globs by @actions/glob, and no pattern that takes long."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.workflow.glob_automaton import Char, Matcher, Part, Times, Wild, _Automaton, _regex
from mainstay.workflow.globs import Filter, GlobError, select_files

# The tables of "Filter pattern cheat sheet": patterns, names that match, names that do not.
CHEAT_SHEET = [
    (["feature/*"], "feature/my-branch feature/your-branch", "feature/a/b feature other/feature/x"),
    (["feature/**"], "feature/beta-a/my-branch feature/your-branch feature/mona/the/octocat", "feature xfeature/a"),
    (["main", "releases/mona-the-octocat"], "main releases/mona-the-octocat", "main2 amain releases"),
    (["*"], "main releases README.md server.rb", "all/the/branches"),
    (["**"], "all/the/branches every/tag all/the/files.md main", ""),
    (["*feature"], "mona-feature feature ver-10-feature", "features a/feature"),
    (["v2*"], "v2 v2.0 v2.9", "v1 v2/0 av2"),
    (["v[12].[0-9]+.[0-9]+"], "v1.10.1 v2.0.0", "v3.0.0 v1.0 v1.x.0 v1.0.0-rc"),
    (["*.jsx?"], "page.js page.jsx", "page.jsxx page.j a/page.js"),
    (["*.js"], "app.js index.js", "js/index.js"),
    (["**.js"], "index.js js/index.js src/js/app.js", "index.jsx"),
    (["docs/*"], "docs/README.md docs/file.txt", "docs/a/b docs"),
    (["docs/**"], "docs/README.md docs/mona/octocat.txt", "docs a/docs/b"),
    (["docs/**/*.md"], "docs/README.md docs/mona/hello-world.md docs/a/markdown/file.md", "README.md docs/a.txt"),
    (["**/docs/**"], "docs/hello.md dir/docs/my-file.txt space/docs/plan/space.doc", "mydocs/a docs"),
    (["**/README.md"], "README.md js/README.md", "xREADME.md README.md/a"),
    (["**/*src/**"], "a/src/app.js my-src/code/js/app.js", "a/srcs/app.js src"),
    (["**/*-post.md"], "my-post.md path/their-post.md", "post.md"),
    (["**/migrate-*.sql"], "migrate-10909.sql db/migrate-v1.0.sql db/sept/migrate-v1.sql", "db/migrate.sql"),
    (["*.md", "!README.md"], "hello.md", "README.md docs/hello.md"),
    (["*.md", "!README.md", "README*"], "hello.md README.md README.doc", "docs/hello.md"),
    (["[CB]at"], "Cat Bat", "cat Rat at"),
    (["[1-2]00"], "100 200", "300 00"),
    (["Octo*"], "Octocat Octo", "octocat"),
    # What follows from the rules.
    (["releases/**", "!releases/**-alpha"], "releases/1.0 releases/beta/3", "releases/1.0-alpha releases/beta/3-alpha"),
    (["!main"], "", "main other"),
    (["a**/b"], "a/b axx/y/b", "ab b"),
    (["ab+c?"], "ab abb abbbc abc", "a ac abcc"),
    (["[ab]+[x-z]?"], "a abab bax az", "x axz"),
    (["a.b"], "a.b", "axb"),
    (["a\\*b", "c\\?", "\\[d]", "e\\+"], "a*b c? [d] e+", "axb c ad ee"),
    (["(a|b)$^{1}"], "(a|b)$^{1}", "a b"),
    (["**/a/**/b"], "a/b x/a/y/z/b", "ab x/a/yb"),
    (["grün-*"], "grün-1", "grun-1"),
]


@pytest.mark.parametrize(("patterns", "fitting", "others"), CHEAT_SHEET, ids=lambda each: str(each)[:40])
def test_a_filter_matches_as_the_cheat_sheet_says(patterns: list[str], fitting: str, others: str) -> None:
    chosen = Filter(patterns)
    assert [name for name in fitting.split() if not chosen.matches(name)] == []
    assert [name for name in others.split() if chosen.matches(name)] == []


@pytest.mark.parametrize("pattern", ["", "!", "+a", "a++", "a*?", "?", "[", "a[bc", "[]", "[z-a]", "a" * 2_000])
def test_a_filter_that_cannot_be_read_is_refused_and_quoted(pattern: str) -> None:
    with pytest.raises(GlobError, match="pattern") as caught:
        Filter(["main", pattern])
    assert f'"{pattern[:50]}' in caught.value.message


def test_a_filter_of_negations_only_says_that_it_never_matches() -> None:
    assert Filter(["!a", "!b"]).never
    assert not Filter(["**", "!a"]).never
    assert not Filter([]).never


def test_any_and_all_are_for_paths_and_paths_ignore() -> None:
    docs = Filter(["docs/**"])
    assert docs.matches_any(["a.py", "docs/b.md"])
    assert not docs.matches_any(["a.py"])
    assert docs.matches_all(["docs/a.md", "docs/b.md"])
    assert not docs.matches_all(["docs/a.md", "b.py"])
    assert not docs.matches_all([])


FILES = (
    ".github/dependabot.yml",
    "README.md",
    "a[b].txt",
    "lib/a.rb",
    "lib/deep/er/b.rb",
    "lib/foo/c.rb",
    "package-lock.json",
    "src/app.js",
    "src/sub/app.js",
    "web/package-lock.json",
)

GLOBS = [
    (["**/package-lock.json"], "package-lock.json web/package-lock.json"),
    (["/src/*.js"], "src/app.js"),
    (["/lib/**/*.rb"], "lib/a.rb lib/deep/er/b.rb lib/foo/c.rb"),
    (["/lib/**/*.rb", "!/lib/foo/*.rb"], "lib/a.rb lib/deep/er/b.rb"),
    (["lib"], "lib/a.rb lib/deep/er/b.rb lib/foo/c.rb"),
    (["lib/"], "lib/a.rb lib/deep/er/b.rb lib/foo/c.rb"),
    (["./lib/*"], "lib/a.rb lib/deep/er/b.rb lib/foo/c.rb"),
    (["lib/*/"], "lib/deep/er/b.rb lib/foo/c.rb"),
    (["lib/**"], "lib/a.rb lib/deep/er/b.rb lib/foo/c.rb"),
    (["README.md/"], ""),
    (["*.md", "# a remark", ""], "README.md"),
    (["lib/**\n!lib/deep\n  !!lib/deep/er/b.rb "], "lib/a.rb lib/deep/er/b.rb lib/foo/c.rb"),
    (["!lib", "lib/a.rb"], "lib/a.rb"),
    (["**", "! lib", "!src", "!web"], ".github/dependabot.yml README.md a[b].txt package-lock.json"),
    ([".*/*.yml"], ".github/dependabot.yml"),
    (["?????a.md", "[R]EADM[!a].md"], "README.md"),
    (["a[[]b].txt"], "a[b].txt"),
    (["a\\[b\\].txt"], "a[b].txt"),
    (["lib/?.rb"], "lib/a.rb"),
    (["lib?a.rb", "lib[/]a.rb", "src**app.js"], ""),
    (["/"], " ".join(FILES)),
    (["/home/me/code/lib/a.rb"], "lib/a.rb"),
    (["/home/me/code"], " ".join(FILES)),
]


@pytest.mark.parametrize(("patterns", "chosen"), GLOBS, ids=lambda each: str(each)[:40])
def test_file_globs_choose_as_actions_glob_does(patterns: list[str], chosen: str) -> None:
    assert list(select_files(patterns, FILES, root="/home/me/code/")) == chosen.split()


@pytest.mark.parametrize("pattern", ["../x", "a/../b", "a/./b", "~/x", "!", "x" * 2_000])
def test_a_file_glob_that_leaves_the_workspace_is_refused(pattern: str) -> None:
    with pytest.raises(GlobError):
        select_files([pattern], FILES)


def test_no_pattern_takes_long_whatever_it_and_the_name_are() -> None:
    started = time.process_time()
    assert not Filter(["*a" * 400 + "b"]).matches("a" * 4_000)
    assert not Filter(["**a" * 300 + "b"]).matches("a" * 4_000)
    assert not Filter(["a+" * 400 + "b"]).matches("a" * 4_000)
    assert not Filter(["**/" * 300 + "b"]).matches("a/" * 2_000)
    assert select_files(["**/*a" * 150 + "/b"], ["a/" * 2_000]) == ()
    assert Filter(["a?" * 400 + "a" * 150]).matches("a" * 400)
    assert time.process_time() - started < 20  # measured: under a second


def _parts() -> st.SearchStrategy[list[Part]]:
    chars = st.builds(
        Char, st.sets(st.sampled_from("ab/-"), min_size=1).map(frozenset), st.booleans(), st.sampled_from(Times)
    )
    middle = st.lists(chars | st.sampled_from([Wild.NAME, Wild.ANY, Wild.FOLDERS]), max_size=6)
    return st.builds(
        lambda parts, last: [*parts, *last], middle, st.lists(st.sampled_from([Wild.BELOW, Wild.INSIDE]), max_size=1)
    )


@given(_parts(), st.text("ab/-", max_size=8))
@settings(max_examples=500, deadline=None)
def test_states_and_regular_expression_agree(parts: list[Part], name: str) -> None:
    expected = re.compile("".join(map(_regex, parts)), re.DOTALL).fullmatch(name) is not None
    assert _Automaton(tuple(parts)).matches(name) is expected
    assert Matcher(parts).matches(name) is expected


@given(st.text("ab*?+[]!\\/-#~. ", max_size=20), st.text("ab/*.", max_size=12))
@settings(max_examples=300, deadline=None)
def test_no_pattern_crashes(pattern: str, name: str) -> None:
    for use in (lambda: Filter([pattern]).matches(name), lambda: select_files([pattern], [name])):
        try:
            use()
        except GlobError:
            continue
