"""What jobs print arrives as it was printed, whatever it is, and secrets do not."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.model.plan import Step
from mainstay.runner.capture import Capture
from mainstay.runner.logfile import LogFile
from mainstay.runner.reading import Reading
from mainstay.workflow.commands import Annotate
from tests.runner.bench import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("output"))
    with bench.runner("--capacity", "2"):
        yield bench


def test_200_mb_arrive_whole_and_memory_stays_flat(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.runner() as runner:
        bench.run("true")
        before = resident_kb(runner.process.pid)
        finish, record = bench.run("head -c 200000000 /dev/zero")
        assert (finish.state, finish.log_bytes, len(record.log)) == ("passed", 200_000_000, 200_000_000)
        assert resident_kb(runner.process.pid) - before < 40_000


def resident_kb(pid: int) -> int:
    words = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in words.splitlines() if line.startswith("VmRSS")))


def test_one_long_line_without_end_arrives(bench: Bench) -> None:
    finish, record = bench.run("head -c 100000000 /dev/zero | tr '\\0' x")
    assert finish.log_bytes == 100_000_000
    assert record.log.count(b"x") == 100_000_000


def test_bytes_that_are_not_text_arrive_as_they_are(bench: Bench) -> None:
    _, record = bench.run("printf '\\377\\376\\0\\033[2J::\\n::error\\r\\n'")
    assert bytes(record.log) == b"\xff\xfe\0\x1b[2J::\n::error\r\n"


def test_stdout_and_stderr_keep_their_order(bench: Bench) -> None:
    _, record = bench.run("for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    assert bytes(record.log) == b"out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"


def test_the_first_line_comes_at_once_and_the_rest_while_it_prints(bench: Bench) -> None:
    gates = [bench.folder / "gate-1", bench.folder / "gate-2"]
    waits = [f"while [ ! -e {gate} ]; do sleep 0.02; done" for gate in gates]
    attempt, record = bench.give(f"echo first; {waits[0]}; echo second; {waits[1]}; echo third")
    bench.server.wait(lambda: bytes(record.log) == b"first\n")
    gates[0].touch()
    bench.server.wait(lambda: bytes(record.log) == b"first\nsecond\n")
    assert record.finish is None
    gates[1].touch()
    bench.server.ended(attempt)
    assert bytes(record.log) == b"first\nsecond\nthird\n"


def test_a_log_is_cut_at_its_limit_with_a_visible_word(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.server.log_limit_bytes = 10_000
    with bench.runner():
        finish, record = bench.run("head -c 25000 /dev/zero; sleep 0.2; echo more")
    assert (finish.state, finish.log_bytes, len(record.log)) == ("passed", 10_000, 10_000)
    assert finish.log_notice == "the log was cut at its limit of 10,000 bytes; 15,005 more bytes were printed"


def test_secrets_are_hidden_even_when_they_are_printed_in_pieces(bench: Bench) -> None:
    finish, record = bench.run(
        "printf 'a sec'; sleep 0.3; printf 'ret-value b\\n'; echo '::add-mask::other-secret'; echo other-secret",
        Step(run="echo ${{ secrets.TOKEN }}", name="with other-secret"),
        contexts={"secrets": {"TOKEN": "secret-value"}},
        masks=("secret-value",),
    )
    text = record.log.decode()
    assert text == "a *** b\n::add-mask::***\n***\n***\n"
    assert finish.log_bytes == len(text)
    assert finish.steps[1].name == "with ***"
    assert finish.steps[1].log_offset == text.rindex("***")


def test_a_mask_added_late_leaves_what_was_printed_before(bench: Bench) -> None:
    _, record = bench.run("echo ordinary-value; echo '::add-mask::ordinary-value'; echo ordinary-value again")
    assert record.log.decode() == "ordinary-value\n::add-mask::***\n*** again\n"


def test_the_token_for_the_source_is_never_shown(bench: Bench) -> None:
    _, record = bench.run("echo ${{ github.token }}")
    assert bytes(record.log) == b"***\n"


def test_a_full_disk_ends_the_attempt_as_broken_and_the_runner_goes_on(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    import subprocess

    small = tmp_path / "runner"
    (small / "journal").mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(small / "journal")], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    bench = Bench(tmp_path)
    try:
        with bench.runner():
            finish, _ = bench.run("head -c 20000000 /dev/urandom; echo end")
            assert finish.state == "broken"
            assert "no space left on device" in (finish.reason or "")
            assert "missing" in (finish.log_notice or "")
            assert bench.run("echo fine")[0].state == "passed"
    finally:
        subprocess.run(["umount", "-l", str(small / "journal")], check=True)


def read_all(folder: Path, chunks: list[bytes], masks: tuple[str, ...] = ()) -> tuple[bytes, list[object]]:
    """Feed chunks to a log as a job would print them; what may leave the runner, and the commands."""
    log = LogFile(folder)
    reading = Reading(log, masks)
    commands: list[object] = []
    size = 0
    for number, chunk in enumerate([*chunks, b""]):
        size += os.pwrite(log.raw_fd, chunk, size) if chunk else 0
        more = True
        while more:
            found, more = reading.advance(size, final=number == len(chunks))
            commands += found
    out = b""
    while len(out) < reading.ready_bytes:
        out += log.read(len(out), reading.ready_bytes - len(out))
    log.close()
    return out, commands


@given(
    st.lists(
        st.sampled_from([b"::", b"\n", b"\r\n", b"::error::x", b"::add-mask::abcdef", b"abc", b"def", b" ", b"y" * 9]),
        max_size=12,
    ),
    st.data(),
)
def test_how_the_output_was_cut_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    at_once, commands = read_all(tmp_path_factory.mktemp("log"), [whole])
    in_pieces, found = read_all(tmp_path_factory.mktemp("log"), chunks)
    assert in_pieces == at_once
    assert found == commands
    if b"add-mask" not in whole:
        assert at_once == whole


def test_a_command_is_found_at_the_very_end_of_the_output(tmp_path: Path) -> None:
    _, commands = read_all(tmp_path, [b"text\n::warn", b"ing::careful"])
    assert [type(each) for each in commands] == [Annotate]


@pytest.mark.anyio
async def test_everything_printed_before_a_drain_is_counted_after_it(tmp_path: Path) -> None:
    """Whether the thread has to be asked, is at it already, or has been: much is printed beside the drains."""
    capture = Capture()
    with (tmp_path / "log").open("wb", buffering=0) as log:
        tap = capture.open(log.fileno(), 1 << 30, lambda: None)
        printed = 0
        for number in range(3000):
            piece = b"x" * (number % 700)
            os.write(tap.write_fd, piece)
            printed += len(piece)
            if number % 3 == 0:
                await asyncio.sleep(0)
            await capture.drain(tap)
            assert tap.kept_bytes == printed
        await capture.write(tap, b"words\n")
        await capture.drain(tap)
        assert tap.kept_bytes == printed + 6 == (tmp_path / "log").stat().st_size
        asked: list[str] = []
        capture._ask = lambda tap, what, text: asked.append(what)  # type: ignore[assignment, method-assign, return-value]
        await capture.drain(tap)
        assert asked == []
        del capture._ask  # type: ignore[method-assign]
        await capture.close(tap)
        await capture.drain(tap)
    capture.stop()
