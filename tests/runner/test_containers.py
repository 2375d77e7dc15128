"""Jobs in containers and services beside them, by every engine that really works here; without one they are skipped."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.model.plan import Limits, Service, Step
from mainstay.runner.containers.engine import Engine, environment
from mainstay.wire.runner import Finish
from tests.runner import images
from tests.runner.bench import Bench, until

ENGINES = images.engines()
pytestmark = [
    pytest.mark.skipif(not ENGINES, reason="neither podman nor docker works here"),
    pytest.mark.slow,
]
WEB = Service(
    images.PYTHON,
    env={"WORD": "for you"},
    ports=("8000",),
    entrypoint="python3",
    command="/serve.py",
    options="--health-cmd 'python3 /ask.py localhost 8000' --health-interval 1s --health-retries 30",
)


class Yard:
    """A runner with one engine."""

    def __init__(self, bench: Bench, engine: Engine) -> None:
        self.bench = bench
        self.engine = engine

    def run(self, *steps: Step | str, image: str = images.PYTHON, **plan: object) -> tuple[Finish, str]:
        """A job in a container."""
        container = plan.pop("container", Service(image))
        attempt, record = self.bench.give(*steps, plan={"container": container, **plan})
        finish = self.bench.server.ended(attempt, 120)
        return finish, bytes(record.log).decode(errors="replace")

    def made(self, bench: Bench | None = None) -> list[str]:
        """What is left of jobs: containers, networks, volumes."""
        owner = ((bench or self.bench).folder / "runner" / "id").read_text().strip()
        found = []
        for what in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
            words = self.engine.argv(*what, "--quiet", "--filter", f"label=mainstay.runner={owner}")
            done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=True)
            found += done.stdout.split()
        return found


@pytest.fixture(scope="module", params=ENGINES, ids=lambda engine: engine.kind)
def yard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    engine: Engine = request.param
    images.make(engine)
    bench = Bench(tmp_path_factory.mktemp("containers"))
    with bench.runner("--engine", engine.kind):
        yield Yard(bench, engine)


def test_steps_run_in_the_container_with_folders_environment_and_files(yard: Yard) -> None:
    finish, log = yard.run(
        Step(
            run='cat README; pwd; echo "$GITHUB_WORKSPACE"; echo found=41 >> $GITHUB_OUTPUT; echo A=b >> $GITHUB_ENV',
            id="one",
        ),
        Step(run="echo ${{ steps.one.outputs.found }} $A $OF_IMAGE ${{ job.container.id }}; id -u; touch $HOME/x made"),
        Step(run="import sys, os; print('python', os.environ['MAINSTAY'], os.path.exists('made'))", shell="python"),
        Step(run="ls /root/.ssh /home 2>&1 || echo nothing of the machine"),
        container=Service(images.PYTHON, env={"OF_IMAGE": "two\nlines '\"$"}),
    )
    assert finish.state == "passed", log
    lines = log.splitlines()
    assert "hello" in lines
    place = lines[lines.index("hello") + 1]
    assert lines[lines.index("hello") + 2] == place
    assert re.search(r"41 b two lines '\"\$ [0-9a-f]{64}\n0\n", log)
    assert "python true True" in log
    assert "nothing of the machine" in log
    assert finish.steps[0].name == "Set up containers"
    assert finish.steps[-1].name == "Stop containers"
    assert yard.made() == []


def test_a_failing_step_shows_its_code_and_what_it_left_lives_on(yard: Yard) -> None:
    finish, log = yard.run(
        "sleep 1000 & echo $! > pid",
        Step(run="kill -0 $(cat pid) && echo it lives; exit 7"),
        Step(run="echo always", condition="always()"),
    )
    assert (finish.state, finish.exit_code) == ("failed", 7)
    assert "it lives\n" in log
    assert "always\n" in log
    assert yard.made() == []


def test_an_image_without_bash_gets_sh(yard: Yard) -> None:
    finish, log = yard.run("echo shell; false | true", "cat /etc/passwd", image=images.BARE)
    assert finish.state == "passed", log
    assert "somebody" in log


def test_a_step_over_its_time_is_ended_with_all_it_started(yard: Yard) -> None:
    finish, log = yard.run(
        Step(run="sleep 1000 & trap '' TERM; echo began; while :; do sleep 1000; done", timeout_s="1"),
        Step(
            run="ls -d /proc/[0-9]* | while read p; do cat $p/cmdline 2>/dev/null || true; done", condition="always()"
        ),
    )
    assert finish.state == "failed", log
    assert [step.state.value for step in finish.steps[1:3]] == ["timed_out", "passed"]
    assert "sleep1000" not in log.replace("\0", "").partition("began")[2]


def test_tests_are_counted_and_python_is_set_up_from_the_image(yard: Yard) -> None:
    test = "import unittest\\nclass T(unittest.TestCase):\\n  def test_a(self): pass\\n"
    finish, log = yard.run(
        Step(uses="actions/checkout@v4"),
        Step(uses="actions/setup-python@v5", inputs={"python-version": "3.x"}),
        Step(
            run=f"printf '{test}' > test_it.py; python -m unittest test_it; python -c 'import sys; print(sys.prefix)'"
        ),
    )
    assert finish.state == "passed", log
    assert finish.tests["passed"] == 1


def test_services_are_waited_for_and_reached_by_name(yard: Yard) -> None:
    finish, log = yard.run("python3 /ask.py web ${{ job.services.web.ports['8000'] }}", services={"web": WEB})
    assert finish.state == "passed", log
    assert "web is healthy" in log
    assert "answered 200" in log
    assert "| serving for you" in log.partition("Log of the service web")[2]
    assert yard.made() == []


def test_services_are_reached_by_a_port_of_the_machine_where_the_job_has_no_container(yard: Yard) -> None:
    port = "${{ job.services.web.ports['8000'] }}"
    ask = f"{sys.executable} - localhost {port} <<'end'\n{images.PROGRAMS['ask.py']}end"
    finish, log = yard.run(ask, container=None, services={"web": WEB})
    assert finish.state == "passed", log
    assert "answered 200" in log
    assert yard.made() == []


def test_a_service_that_does_not_become_healthy_says_so_with_its_log(yard: Yard) -> None:
    ill = Service(
        images.PYTHON,
        entrypoint="sh",
        command='-c "echo I am ill; exec sleep 1000"',
        options="--health-cmd false --health-interval 1s --health-timeout 1s --health-retries 1",
    )
    finish, log = yard.run("echo never", services={"db": ill})
    assert finish.state == "failed"
    assert "the service db did not become healthy" in (finish.reason or "")
    assert "| I am ill" in log
    assert "never" not in log
    assert yard.made() == []


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (Service(images.PYTHON, options="--privileged"), "--privileged could open the machine"),
        (Service(images.PYTHON, options="--pid host --cap-add SYS_ADMIN"), "--pid could open"),
        (Service(images.PYTHON, volumes=("/etc:/host",)), "shows a folder of the runner's machine"),
        (
            Service(images.PYTHON, volumes=("${{ github.workspace }}/../../../..:/host",)),
            "shows a folder of the runner's",
        ),
        (Service("no such image"), "is no name of an image"),
    ],
)
def test_what_could_open_the_machine_is_refused(yard: Yard, container: Service, words: str) -> None:
    finish, log = yard.run("echo never", container=container)
    assert finish.state == "failed"
    assert words in (finish.reason or ""), log
    assert yard.made() == []


def test_volumes_and_limits_are_given(yard: Yard) -> None:
    finish, log = yard.run(
        "touch /data/a /nameless/b /scratch/c; ls /data",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true",
        container=Service(images.PYTHON, volumes=("data:/data", "/nameless"), options="--tmpfs /scratch"),
        limits=Limits(memory_bytes=256 << 20, processes=100),
    )
    assert finish.state == "passed", log
    assert str(256 << 20) in log or not yard.engine.limits
    assert yard.made() == []


def test_a_container_whose_user_is_not_root_can_write_what_is_the_jobs(yard: Yard) -> None:
    finish, log = yard.run(
        Step(run="id -u; touch made $HOME/x $RUNNER_TEMP/y; echo x=41 >> $GITHUB_OUTPUT", id="one"),
        "echo ${{ steps.one.outputs.x }}; ls made",
        container=Service(images.PYTHON, options="--user 1234"),
    )
    assert finish.state == "passed", log
    assert "1234\n41\nmade\n" in log


def test_a_runner_that_is_killed_leaves_no_container(yard: Yard, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.runner("--engine", yard.engine.kind) as runner:
        _, record = bench.give("echo began; sleep 1000", plan={"container": Service(images.BARE)})
        until(lambda: b"began" in bytes(record.log), 60)
        assert yard.made(bench)
        runner.kill_hard()
        until(lambda: yard.made(bench) == [], 60)


def test_a_job_that_is_cancelled_ends_in_order(yard: Yard) -> None:
    attempt, record = yard.bench.give(
        "trap 'echo told; exit 1' TERM; echo began; sleep 1000 & wait",
        Step(run="echo cleaned", condition="always()"),
        plan={"container": Service(images.PYTHON)},
    )
    until(lambda: b"began" in bytes(record.log), 60)
    yard.bench.server.cancel(attempt, "told to")
    finish = yard.bench.server.ended(attempt, 120)
    log = bytes(record.log).decode()
    assert finish.state == "cancelled"
    assert "told\n" in log
    assert "cleaned\n" in log
    assert yard.made() == []
