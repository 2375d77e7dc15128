"""Jobs that do their worst: each comes to a clear end, told in words, and the same runner passes the next job.

All of them run with both executors, on one server and one runner of capacity 1 for each, so that whatever a job leaves
behind is in the way of the next.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.stand import Process, Project, Stand, stand, until

pytestmark = [pytest.mark.system, pytest.mark.slow]

CLEAN = 'test -z "$(git status --porcelain --ignored)" && test "$(cat kept/file)" = original && echo clean as a clone'
LINE = b"all work and no play makes a log a dull read\n"
MANY_BYTES = 200_000_000
LONG_BYTES = 100_000_000
RESIDENT_BYTES = 300 << 20
"""Server and runner each, at their largest: a log that was held in memory would be seen."""


@dataclass
class Arena:
    """A server, one runner, and a project whose commits run hostile scripts."""

    stand: Stand
    project: Project
    runner: Process
    victim: Path
    """A folder that is nobody's to change."""
    count: int = 0

    def does(self, script: str, extra: str = "") -> dict[str, Any]:
        """The build of a commit whose one job runs this script."""
        self.count += 1
        self.project.workflow(script, extra=extra)
        commit = self.project.commit(f"job {self.count}")
        self.project.push()
        return self.stand.verdict(commit, timeout_s=180)

    def passes_the_next(self) -> None:
        """The same runner process runs the next job, in a clean tree."""
        build = self.does(CLEAN)
        [attempt] = build["jobs"][0]["attempts"]
        assert build["state"] == "passed", (attempt, self.stand.log(build), self.runner.output)
        assert b"clean as a clone" in self.stand.log(build)
        assert self.runner.process.poll() is None, self.runner.output
        assert "Traceback" not in self.runner.output, self.runner.output
        assert self.stand.server is not None
        assert "Traceback" not in self.stand.server.output, self.stand.server.output


@pytest.fixture(scope="module", params=["process", "bubblewrap"])
def arena(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """One for each executor."""
    if request.param == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("the program bwrap is not here (package bubblewrap)")
    folder = tmp_path_factory.mktemp(request.param)
    project = Project(folder / "repositories")
    project.write({"kept/file": "original\n", ".gitignore": "ignored\n"})
    project.workflow("true")
    root = project.commit("root")
    project.push()
    with stand(folder) as here:
        here.serve()
        runner = here.runner("r1", "--executor", request.param)
        here.watch(project)
        assert here.verdict(root)["state"] == "passed", runner.output
        victim = folder / "victim"
        victim.mkdir()
        (victim / "file").write_text("mine")
        yield Arena(here, project, runner, victim)


def reason(build: dict[str, Any]) -> str:
    """Everything that is said about why the job ended so."""
    [job] = build["jobs"]
    attempt = job["attempts"][-1]
    words = [build["reason"], job["reason"], attempt["reason"], *(step["reason"] for step in attempt["steps"])]
    words.append(f"exit code {attempt['exit_code']}" if attempt["exit_code"] else None)
    return " | ".join(dict.fromkeys(word for word in words if word))


def alive(word: str) -> list[int]:
    """Processes with this word on their command line, which they cannot clear as they can their environment."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line.split(b"\0"):
                found.append(int(entry))
    return found


def peak_bytes(pid: int) -> int:
    """The largest resident size that a process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


# -- output ------------------------------------------------------------------------------------------------------------


def test_200_megabytes_come_back_whole_and_one_long_line_too(arena: Arena) -> None:
    """Neither is cut, and neither is held in the memory of server or runner."""
    text = LINE.decode().rstrip()
    build = arena.does(f"yes '{text}' | head -c {MANY_BYTES}; exit 0")
    log = arena.stand.log(build)
    assert build["state"] == "passed", reason(build)
    assert len(log) == build["jobs"][0]["attempts"][0]["log_bytes"] == MANY_BYTES
    assert log == (LINE * (MANY_BYTES // len(LINE) + 1))[:MANY_BYTES]
    build = arena.does(f"head -c {LONG_BYTES} /dev/zero | tr '\\0' x")
    assert build["state"] == "passed", reason(build)
    assert arena.stand.log(build) == b"x" * LONG_BYTES
    status, page = arena.stand.raw("GET", f"/builds/{build['id']}")
    assert status == 200
    assert len(page) < 4 << 20, "the page shows the end of a log, not all of it"
    arena.passes_the_next()
    assert arena.stand.server is not None
    for process in (arena.stand.server, arena.runner):
        assert peak_bytes(process.process.pid) < RESIDENT_BYTES


def test_what_would_upset_a_terminal_or_a_decoder_comes_back_as_it_was_and_never_reaches_a_page(arena: Arena) -> None:
    """Control sequences, invalid UTF-8 and NUL: bytes in the log, harmless on the page and in the summary."""
    bomb = (
        b"\x1b]0;owned\x07\x1b[2J\x1b[?1049h\x1bc\x1b[999999999C\x1b[9999999999999999999m\x1bP+q\x1b\\"
        b"\x9b31m\xff\xfe\xc3\x28\xf0\x9f\x98\x00\xed\xa0\x80</pre><script>alert(1)</script>\r\r\r" + bytes(range(256))
    ) * 50
    arena.project.write({"bomb": bomb})
    build = arena.does(
        "cat bomb; cat bomb >> $GITHUB_STEP_SUMMARY; printf 'name=\\xff\\xfe\\n' >> $GITHUB_OUTPUT; "
        "printf '::error::\\x1b[2J\\xff<script>alert(1)</script>\\n'"
    )
    assert build["jobs"][0]["attempts"][0]["state"] in ("passed", "failed")
    assert bomb in arena.stand.log(build)
    status, page = arena.stand.raw("GET", f"/builds/{build['id']}")
    assert status == 200
    assert not set(page) & {*range(9), 0x0B, 0x0C, *range(0x0E, 0x20)}, "no control character reaches the page"
    assert b"<script>alert" not in page
    page.decode()
    (arena.project.clone / "bomb").unlink()
    arena.passes_the_next()


def test_floods_of_commands_and_of_files_for_the_runner_are_bounded(arena: Arena) -> None:
    """Annotations, masks, outputs and summaries without end: the end of the attempt stays small enough to be told."""
    build = arena.does(
        'for n in $(seq 30000); do echo "::error file=a.py,line=$n::the ${n}th error"; done; '
        'head -c 3000000 /dev/zero | tr "\\0" s >> $GITHUB_STEP_SUMMARY; echo "::add-mask::"; '
        'for n in $(seq 300); do echo "::add-mask::secret-$n"; done; echo secret-7 is said'
    )
    attempt = build["jobs"][0]["attempts"][0]
    assert attempt["state"] in ("passed", "failed"), (attempt, arena.runner.output)
    log = arena.stand.log(build)
    assert b"the 30000th error" in log
    assert b"secret-7 is said" not in log
    build = arena.does("head -c 20000000 /dev/zero | tr '\\0' o >> $GITHUB_OUTPUT")
    assert build["state"] == "failed"
    assert "GITHUB_OUTPUT" in reason(build)
    build = arena.does("rm $GITHUB_ENV; mkfifo $GITHUB_ENV; ln -sf /etc/passwd $GITHUB_STEP_SUMMARY")
    assert build["state"] == "failed"
    assert "replaced" in reason(build)
    arena.passes_the_next()


def test_a_step_ends_though_a_child_in_the_background_holds_its_output_open(arena: Arena) -> None:
    """Nobody waits for a pipe that somebody else may hold for ever."""
    build = arena.does("(echo begun in the background; sleep 4711.25; echo late) & sleep 0.1; echo the step ends")
    assert build["state"] == "passed", reason(build)
    log = arena.stand.log(build)
    assert b"begun in the background" in log
    assert b"the step ends" in log
    assert b"late" not in log
    assert not alive("4711.25")
    arena.passes_the_next()


# -- processes ---------------------------------------------------------------------------------------------------------

DAEMON = """python3 - <<'END'
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        for fd in range(3):
            os.close(fd)
        os.chdir("/")
        os.execve("/bin/sleep", ["sleep", "4712.25"], {})
    os._exit(0)
os.wait()
END
echo the daemon is away"""


def test_a_daemon_that_hides_in_another_session_with_an_empty_environment_is_ended(arena: Arena) -> None:
    """Double fork, own session, no environment, no descriptors, deaf to signals: gone when the job is."""
    build = arena.does(DAEMON)
    assert build["state"] == "passed", (reason(build), arena.stand.log(build))
    assert not alive("4712.25")
    arena.passes_the_next()


def test_forking_for_ever_is_stopped_by_the_limit_and_every_process_ends(arena: Arena) -> None:
    """A fork bomb lives in its own limits; the runner kills faster than it forks."""
    if not _counts_processes():
        pytest.skip("no control group for processes can be made here")
    bomb = "bomb() { sleep 4713.25 & bomb | bomb & }; bomb; sleep 4713.25"
    build = arena.does(bomb, extra="timeout-minutes: 0.03\nlimits:\n  processes: 80")
    assert build["jobs"][0]["attempts"][-1]["state"] in ("timed_out", "failed")
    assert "limit" in reason(build)
    assert not alive("4713.25")
    arena.passes_the_next()


@pytest.mark.parametrize("executor", ["process", "bubblewrap"])
def test_forking_for_ever_without_any_limit_in_the_workflow_leaves_the_runner_and_the_machine_alone(
    tmp_path: Path, executor: str
) -> None:
    """All jobs of a runner together have a limit that the runner itself is not under."""
    if not _counts_processes():
        pytest.skip("no control group for processes can be made here")
    if executor == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("the program bwrap is not here (package bubblewrap)")
    project = Project(tmp_path / "repositories")
    project.write({"kept/file": "original\n"})
    project.workflow("true")
    project.commit("root")
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        runner = here.runner("r1", "--executor", executor, "--processes", "200")
        here.watch(project)
        arena = Arena(here, project, runner, tmp_path)
        arena.does("bomb() { sleep 4717.25 & bomb | bomb & }; bomb; sleep 4717.25", extra="timeout-minutes: 0.03")
        assert not alive("4717.25")
        arena.passes_the_next()


def _counts_processes() -> bool:
    return any(
        Path(place).is_dir() and os.access(place, os.W_OK)
        for place in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/cgroup.subtree_control")
    )


def test_running_for_ever_ends_at_the_time_limit(arena: Arena) -> None:
    """As `timed_out`, with the limit in words and what was printed before."""
    build = arena.does("echo begun; sleep 4714.25", extra="timeout-minutes: 0.02")
    [attempt] = build["jobs"][0]["attempts"]
    assert (build["state"], attempt["state"]) == ("failed", "timed_out")
    assert "time limit of 0.02 min" in reason(build)
    assert arena.stand.log(build).startswith(b"begun")
    assert not alive("4714.25")
    arena.passes_the_next()


def test_ignoring_sigterm_delays_the_end_by_the_grace_time_only(arena: Arena) -> None:
    """SIGKILL follows."""
    stubborn = "trap '' TERM INT HUP; echo deaf; while :; do sleep 4715.25; done"
    build = arena.does(stubborn, extra="timeout-minutes: 0.01")
    assert build["jobs"][0]["attempts"][-1]["state"] == "timed_out"
    assert not alive("4715.25")
    arena.passes_the_next()


def test_a_job_that_kills_whatever_it_can_harms_itself_alone(arena: Arena) -> None:
    """Its own shell, its parent, every process of its group; in a sandbox, everything it sees."""
    sandboxed = arena.stand.call("GET", "/runners")["items"][0]["executor"] == "bubblewrap"
    everything = "kill -9 -1" if sandboxed else "kill -9 0"
    for script in ("kill -9 $$", "kill -9 $PPID; sleep 0.5; exit 3", everything):
        build = arena.does(script, extra="timeout-minutes: 0.2")
        attempts = build["jobs"][0]["attempts"]
        assert build["state"] == "failed", (script, attempts)
        assert attempts[-1]["state"] in ("failed", "broken"), (script, attempts)
        assert reason(build), script
    arena.passes_the_next()


# -- files -------------------------------------------------------------------------------------------------------------

WORK = '"$GITHUB_WORKSPACE"'
FILES = {
    "deletes its own work tree": f"cd /; rm -rf {WORK} || rm -rf {WORK}/* {WORK}/.[!.]*",
    "deletes its git folder": "rm -rf .git; git init -q . || true",
    "deletes all its folders": f'cd /; rm -rf {WORK} "$HOME" "$TMPDIR" "$RUNNER_TEMP"; true',
    "puts a link in the place of its work tree": f"cd /; mv {WORK} {WORK}.away; ln -s VICTIM {WORK}; true",
    "puts links in the place of its other folders": """cd /
for f in "$HOME" "$TMPDIR" "$RUNNER_TEMP"; do rm -rf "$f"; ln -s VICTIM "$f"; done; true""",
    "writes beside its work tree": """echo owned > ../beside
for f in HEAD index config; do echo owned > "../git/$f"; done; true""",
    "makes links to the system": """ln -s /etc etc; ln -s /etc/passwd ignored
ln -s loop loop; ln -s / .git/refs/heads/all
rm -rf kept; ln -s VICTIM kept""",
    "leaves folders nobody may enter": """mkdir -p shut/in/deep read/only
echo x > shut/in/deep/file; echo x > read/only/file
chmod 000 shut/in/deep shut/in kept; chmod 555 read/only read; chmod 000 shut""",
    "leaves names and kinds nobody expects": """python3 - <<'END'
import os, socket
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
for name in (b"\\xff\\xfe\\n -rf", b"-rf", b"x" * 255):
    open(name, "w")
os.makedirs("/".join(["d" * 200] * 15))
END
truncate -s 1T sparse || true""",
    "buries a folder deeper than a path may be long": """python3 - <<'END'
import os
for _ in range(400):
    os.mkdir("deep" * 20)
    os.chdir("deep" * 20)
open("file", "w")
END""",
    "spoils what git would run": """git config core.hooksPath VICTIM; git config core.fsmonitor 'touch VICTIM/run'
git config filter.x.smudge 'touch VICTIM/run'; echo '* filter=x' > .git/info/attributes
git update-index --assume-unchanged kept/file; echo changed > kept/file; touch .git/index.lock; chmod 444 .git""",
}


@pytest.mark.parametrize("script", FILES.values(), ids=FILES.keys())
def test_whatever_a_job_does_to_files(arena: Arena, script: str) -> None:
    """It ends, nothing outside its folders is changed or followed, and the next job has a clean tree."""
    before = sorted(os.listdir("/etc"))
    build = arena.does(script.replace("VICTIM", str(arena.victim)))
    attempts = build["jobs"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] in (["passed"], ["failed"]), (attempts, arena.runner.output)
    arena.passes_the_next()
    assert sorted(os.listdir("/etc")) == before
    assert os.listdir(arena.victim) == ["file"]
    assert (arena.victim / "file").read_text() == "mine"


def test_a_sandboxed_job_writes_nothing_outside_its_folders(arena: Arena) -> None:
    """The system is read-only, and the runner's and the server's data cannot even be seen."""
    if arena.stand.call("GET", "/runners")["items"][0]["executor"] != "bubblewrap":
        pytest.skip("the process executor keeps jobs apart by folders only")
    data = arena.stand.data
    build = arena.does(
        "for place in /etc /usr /opt / /proc/sys/kernel; do touch $place/owned 2>/dev/null && echo WROTE $place; done; "
        f"cat {data}/token {data}/seal.key {data}/r1/id {arena.victim}/file 2>/dev/null && echo READ; "
        f"ls {data}/r1/journal 2>/dev/null && echo LISTED; env | grep -i token && echo TOLD; "
        "cat /proc/1/environ | tr '\\0' '\\n' | grep -i token && echo TOLD; "
        "mount -t tmpfs none /mnt 2>/dev/null && echo MOUNTED; echo tried"
    )
    log = arena.stand.log(build).decode(errors="replace")
    assert build["state"] == "passed"
    assert log.split("\n")[:-1] == ["tried"], log
    arena.passes_the_next()


# -- a full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MB for a runner."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode(errors='replace').strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("executor", ["process", "bubblewrap"])
def test_a_full_disk_ends_the_job_and_not_the_runner(tmp_path: Path, small_disk: Path, executor: str) -> None:
    """Filled by files the job fails; filled by its log the attempt is broken, in words; the next job passes."""
    if executor == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("the program bwrap is not here (package bubblewrap)")
    project = Project(tmp_path / "repositories")
    project.write({"kept/file": "original\n"})
    project.workflow("true")
    project.commit("root")
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        runner = here.runner("r1", "--executor", executor, "--data", str(small_disk / "r1"))
        here.watch(project)
        arena = Arena(here, project, runner, tmp_path)
        build = arena.does("echo before; cat /dev/zero > fill; echo after; exit 1")
        assert build["state"] == "failed", build
        assert reason(build)
        assert b"before" in here.log(build)
        arena.passes_the_next()
        build = arena.does("yes 'this is more than the disk can hold' | head -c 100000000")
        assert build["state"] == "failed"
        assert {attempt["state"] for attempt in build["jobs"][0]["attempts"]} == {"broken"}
        assert "no space left on device" in reason(build)
        arena.passes_the_next()
        until(lambda: not os.listdir(small_disk / "r1" / "jobs"), "the folders of the jobs to go")
