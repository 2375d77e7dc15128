"""What of a container's `options` is passed on, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.model.errors import BadInput
from mainstay.workflow.container_options import read_options


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("--cpus 2", ("--cpus=2",)),
        (
            '--health-cmd "pg_isready -U me" --health-interval=10s',
            ("--health-cmd=pg_isready -U me", "--health-interval=10s"),
        ),
        ("-e A=1 -m 512m -u1000", ("--env=A=1", "--memory=512m", "--user=1000")),
        ("--init --read-only", ("--init", "--read-only")),
        ("--rm -d -t", ()),
        ("--log-opt max-size=10m", ("--log-opt=max-size=10m",)),
        ("--cap-add=SYS_PTRACE --cap-drop ALL", ("--cap-add=SYS_PTRACE", "--cap-drop=ALL")),
    ],
)
def test_harmless_options_are_passed_on(text: str, words: tuple[str, ...]) -> None:
    options = read_options(text)
    assert (options.words, options.refused) == (words, ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("--privileged", "--privileged could open the machine"),
        ("--pid=host", "--pid could open"),
        ("-v /:/host", "--volume: write it under volumes"),
        ("--mount type=bind,src=/,dst=/host", "--mount: write it"),
        ("--network host", "--network: every job has"),
        ("--device /dev/sda", "--device could open"),
        ("--cap-add SYS_ADMIN", "--cap-add could open"),
        ("--security-opt seccomp=unconfined", "--security-opt could open"),
        ("--userns host", "--userns could open"),
        ("--env-file /etc/shadow", "--env-file: write it under env"),
        ("--log-opt path=/home/runner/.profile", "--log-opt path=/home/runner/.profile could write to the machine"),
        ("--annotation run.oci.keep_original_groups=1", "--annotation could open"),
        ("-e HTTP_PROXY", "--env HTTP_PROXY would take the value from the runner's machine"),
        ("--brand-new-option", "--brand-new-option could open"),
        ("--cpus", "--cpus needs a value"),
        ("postgres:18", "'postgres:18' is no option"),
    ],
)
def test_what_could_open_the_machine_is_refused_with_words(text: str, reason: str) -> None:
    assert reason in read_options(text).refused[0]


def test_a_name_becomes_a_name_in_the_jobs_network() -> None:
    assert read_options("--name db --network-alias postgres").names == ("db", "postgres")


def test_the_runners_owner_may_allow_everything_but_what_is_ours() -> None:
    options = read_options("--privileged --device /dev/kvm --pid=host --network host", everything=True)
    assert options.words == ("--privileged", "--device=/dev/kvm", "--pid=host")
    assert len(options.refused) == 1


def test_quotes_that_are_not_closed_are_an_error() -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_options("--health-cmd 'x")


@given(st.text(max_size=60))
def test_no_text_gets_a_dangerous_option_through(text: str) -> None:
    try:
        options = read_options(text)
    except BadInput:
        return
    names = {word.partition("=")[0] for word in options.words}
    assert not names & {"--privileged", "--volume", "--mount", "--network", "--device", "--security-opt", "--pid"}
    assert all(word.startswith("--") for word in options.words)
