"""Secrets never come out of the masker, however the output is cut into chunks."""

import base64
import html
import json
import random
import re
import time
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.workflow.masks import MASK, Masker

SECRET = "s3cr3t-T0k3n/+=with odd&chars"


def stream(masker: Masker, data: bytes, cuts: list[int]) -> bytes:
    """What comes out when `data` is fed in pieces cut at `cuts`."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return b"".join(masker.feed(data[start:end]) for start, end in pairwise(places)) + masker.flush()


def test_a_secret_becomes_three_stars_and_the_rest_stays() -> None:
    masker = Masker([SECRET])
    assert masker.feed(b"a " + SECRET.encode() + b" z\xff\r\n") == b"a *** z\xff\r\n"
    assert masker.flush() == b""


def test_without_secrets_everything_passes_at_once() -> None:
    assert Masker([]).feed(b"anything") == b"anything"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_secret_split_over_chunks_is_hidden(size: int) -> None:
    data = b"x" * 5 + SECRET.encode() * 2 + b" s3cr3t-T0k " + SECRET.encode()
    assert stream(Masker([SECRET]), data, list(range(0, len(data), size))) == b"xxxxx*** s3cr3t-T0k ***"


def test_only_what_may_begin_a_secret_is_kept_back() -> None:
    masker = Masker(["abcdefgh"])
    assert masker.feed(b"0123abc") == b"0123"
    assert masker.feed(b"x") == b"abcx"
    assert masker.feed(b"no\nsecret at all\n") == b"no\nsecret at all\n"
    assert masker.feed(b"a") == b""
    assert masker.flush() == b"a"


def test_each_line_of_a_value_of_several_lines_is_hidden() -> None:
    key = "-----BEGIN KEY-----\r\nMIIEabcdef\nab\n  indented-line\n-----END KEY-----\n"
    masker = Masker([key])
    assert masker.mask(b"MIIEabcdef and   indented-line, ab") == b"*** and   ***, ab"
    assert masker.mask(key.encode() + b"!") in (b"***!", b"***\n!", b"***\r\n***\nab\n  ***\n***\n!")


@pytest.mark.parametrize("lead", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("tail", ["", ":", ":x", ":xy"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_hidden_wherever_the_secret_stands_in_it(lead: str, tail: str, encode: object) -> None:
    text = encode((lead + SECRET + tail).encode())  # type: ignore[operator]
    masked = Masker([SECRET]).mask(b"Basic " + text)
    assert masked.startswith(b"Basic ")
    assert len(masked.replace(MASK, b"")) <= len(b"Basic ") + 16


def test_wrapped_base64_of_a_long_secret_is_hidden() -> None:
    secret = random.Random(1).randbytes(300).hex()
    wrapped = base64.encodebytes(secret.encode())
    assert Masker([secret]).mask(wrapped).replace(MASK, b"").strip() == b""


def test_url_and_json_forms_are_hidden() -> None:
    masker = Masker([SECRET, 'quoted "value" \\ here'])
    assert masker.mask(quote(SECRET, safe="").encode()) == MASK
    assert masker.mask(json.dumps({"a": 'quoted "value" \\ here'}).encode()) == b'{"a": "***"}'
    assert masker.mask(b"t0ken=" + SECRET.replace("=", "%3D").encode()) != MASK


def test_small_percent_signs_and_html_are_hidden() -> None:
    masker = Masker([SECRET, "a<b>&\"c'd"])
    assert masker.mask(quote(SECRET, safe="").lower().encode()) != MASK  # the letters of the value itself count
    small = re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quote(SECRET, safe=""))
    assert masker.mask(small.encode()) == MASK
    assert masker.mask(html.escape("a<b>&\"c'd").encode()) == masker.mask(b"a&lt;b&gt;&amp;\"c'd") == MASK


@pytest.mark.parametrize("width", [64, 76])
def test_wrapped_base64_hides_its_last_line_too_when_a_line_end_came_along(width: int) -> None:
    secret = random.Random(2).randbytes(100).hex()
    text = base64.b64encode(secret.encode() + b"\n").decode()
    wrapped = "\n".join(text[at : at + width] for at in range(0, len(text), width)).encode()
    assert len(Masker([secret]).mask(wrapped).replace(MASK, b"").strip()) <= 4


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0*"), min_size=4, max_size=60).filter(
    lambda value: len(value.strip()) >= 4
)


def printed(value: str, how: str) -> bytes:
    """A value as a job prints it."""
    raw = value.encode()
    match how:
        case "plain":
            return raw
        case "base64":
            return base64.b64encode(raw)
        case "base64 behind a name":
            return base64.b64encode(b"user:" + raw)
        case "url":
            return quote(value, safe="").encode()
        case "json":
            return json.dumps(value).encode()
        case _:
            return html.escape(value).encode()


@given(
    VALUES,
    st.sampled_from(["plain", "base64", "base64 behind a name", "url", "json", "html"]),
    st.lists(st.integers(0, 200), max_size=8),
    st.binary(max_size=30),
)
def test_no_form_of_a_secret_comes_out_however_it_is_cut(value: str, how: str, cuts: list[int], around: bytes) -> None:
    masker = Masker([value])
    shown = stream(masker, around + printed(value, how) + around, cuts)
    whole = Masker([value]).mask(around + printed(value, how) + around)
    assert shown == whole
    assert value.strip().encode() not in shown.replace(MASK, b"\0") or value.strip().encode() in around
    if how == "plain":
        assert MASK in shown


def test_overlapping_and_touching_secrets_leave_nothing_between() -> None:
    masker = Masker(["abcdef", "defghi"])
    for cuts in ([], [4], [6], [3, 6], [1, 2, 3, 4, 5, 6, 7, 8]):
        assert stream(masker, b"<abcdefghi>", [cut + 1 for cut in cuts]) == b"<***>"
        assert stream(masker, b"<abcdefdefghi>", [cut + 1 for cut in cuts]) == b"<***>"


@pytest.mark.parametrize("value", ["", "abc", "  \n ", " abc "])
def test_values_too_short_to_hide_are_refused_with_the_reason(value: str) -> None:
    masker = Masker()
    assert "not hidden" in (masker.add(value) or "")
    assert masker.feed(b"abc") == b"abc"


def test_too_long_and_too_many_secrets_are_refused_with_the_reason() -> None:
    assert "limit" in (Masker().add("x" * 1_000_000) or "")
    masker = Masker()
    reasons = [masker.add(f"secret number {n} {n * 7919}") for n in range(5_000)]
    assert reasons[0] is None
    assert "too many" in (reasons[-1] or "")


def test_a_mask_added_in_the_middle_works_from_the_next_byte_on() -> None:
    masker = Masker(["first-secret"])
    assert masker.feed(b"second-secret first-se") == b"second-secret "
    assert masker.add("second-secret") is None
    assert masker.feed(b"cret second-secret\n") == b"*** ***\n"


def test_a_long_secret_is_hidden_in_pieces_and_little_is_kept_back() -> None:
    secret = random.Random(2).randbytes(20_000).hex()
    masker = Masker([secret])
    data = b"[" + secret.encode() + b"]"
    assert stream(masker, data, list(range(0, len(data), 333))) == b"[***]"
    assert len(masker.feed(b"y" * 5_000 + secret.encode()[:900])) >= 5_000


def test_text_is_masked_with_its_characters_kept() -> None:
    assert Masker(["gehäim"]).mask_text("ein gehäim ✓") == "ein *** ✓"


@given(
    st.lists(
        st.text("ab\n", min_size=4, max_size=8).filter(lambda value: len(value.strip()) >= 4), min_size=1, max_size=3
    ),
    st.lists(st.integers(0, 3) | st.text("ab", max_size=6), max_size=12),
    st.lists(st.integers(0, 60), max_size=8),
)
@settings(max_examples=400, deadline=None)
def test_no_chunking_lets_a_secret_out(values: list[str], pieces: list[int | str], cuts: list[int]) -> None:
    data = "".join(values[piece % len(values)] if isinstance(piece, int) else piece for piece in pieces).encode()
    output = stream(Masker(values), data, cuts)
    assert output == Masker(values).mask(data)
    covered = bytearray(len(data))
    for value in values:
        assert value.encode() not in output
        for at in range(len(data)):
            if data.startswith(value.encode(), at):
                covered[at : at + len(value)] = b"\1" * len(value)
    assert output.replace(MASK, b"").count(b"b") <= sum(
        not hidden and byte == ord("b") for hidden, byte in zip(covered, data, strict=True)
    )


def test_masking_is_linear_even_for_secrets_that_overlap_themselves() -> None:
    masker = Masker(["a" * 900 + "b", "a" * 50])
    started = time.process_time()
    for _ in range(20):
        masker.feed(b"a" * 20_000)
    assert masker.flush() == b""
    assert time.process_time() - started < 20  # measured: under a second
