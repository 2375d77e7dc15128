"""Compressed content comes back as it was, and hostile content costs no more than the limit."""

import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.model.errors import BadInput, TooLarge
from mainstay.store.zstd import compress, decompress


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=5))
def test_any_content_in_any_number_of_frames_comes_back(parts: list[bytes]) -> None:
    assert decompress(b"".join(compress(part) for part in parts), 10_000) == b"".join(parts)


def test_the_limit_is_exact() -> None:
    frame = compress(b"x" * 1000)
    assert len(decompress(frame, 1000)) == 1000
    with pytest.raises(TooLarge):
        decompress(frame, 999)
    with pytest.raises(TooLarge):
        decompress(frame + compress(b"y"), 1000)


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = compress(bytes(1 << 28), 1)
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        decompress(bomb, 1 << 16)


@given(st.binary(max_size=200))
def test_no_input_does_more_than_be_refused(data: bytes) -> None:
    with suppress(BadInput, TooLarge):
        assert len(decompress(data, 100)) <= 100


def test_a_frame_that_is_cut_short_is_refused() -> None:
    frame = compress(os.urandom(1000))
    for length in range(1, len(frame)):
        with pytest.raises(BadInput):
            decompress(frame[:length], 2000)
