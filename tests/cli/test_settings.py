"""Where the server is found, and that every setting is documented."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

from mainstay.cli import settings
from mainstay.cli.settings import find_server
from mainstay.model.errors import BadInput, Unavailable

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a running server."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "url").write_text("http://127.0.0.1:8080\n")
    (data / "token").write_text("mst_folder\n")
    return data


@pytest.mark.parametrize("said", ["2", "3601", "45.5", "-3", "abc", "٤٥", "1" * 99])
def test_a_lease_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("MAINSTAY_LEASE", said)
    with pytest.raises(BadInput, match="from 3 to 3600"):
        settings.lease_s()


def test_the_data_folder_tells_where_a_running_server_is(folder: Path) -> None:
    target = find_server(None, None, str(folder))
    assert (target.url, target.token) == ("http://127.0.0.1:8080", "mst_folder")


def test_an_option_wins_over_the_environment_and_that_over_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTAY_URL", "http://environment")
    monkeypatch.setenv("MAINSTAY_TOKEN", "mst_environment")
    assert find_server(None, None, None).url == "http://environment"
    assert find_server("http://option/", "mst_option", None) == settings.Target(
        "http://option", "mst_option", "--server"
    )


def test_the_folders_token_is_for_the_folders_server_only(folder: Path) -> None:
    assert find_server("http://elsewhere", None, str(folder)).token is None
    assert find_server("http://127.0.0.1:8080/", None, str(folder)).token == "mst_folder"


def test_without_any_server_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="mainstay up"):
        find_server(None, None, str(tmp_path / "nothing"))


def test_an_address_without_a_scheme_is_bad_input() -> None:
    with pytest.raises(BadInput, match="http"):
        find_server("localhost:8080", None, None)


def test_every_setting_is_documented() -> None:
    text = (REFERENCE / "settings.md").read_text("utf-8")
    for setting in settings.SETTINGS:
        assert f"`{setting.name}`" in text


def test_every_option_that_has_a_variable_names_it_in_its_help(mainstay: Callable[..., Ran]) -> None:
    helps = mainstay("up", "--help").out + mainstay("builds", "--help").out + mainstay("runner", "--help").out
    for setting in settings.SETTINGS:
        if setting.option:
            assert setting.option in helps
            assert setting.name in helps


def test_secrets_come_from_arguments_the_environment_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secrets.env"
    file.write_text("# of the team\nA=one\nexport B = 'two words'\n\nC=\"x=y\"\nD=\n")
    monkeypatch.setenv("FROM_HERE", "value")
    found = settings.secrets(["FROM_HERE", "A=other"], file)
    assert found == {"A": "other", "B": "two words", "C": "x=y", "D": "", "FROM_HERE": "value"}
    file.write_text("A=one\nnonsense\n")
    for bad in (file, tmp_path / "none"):
        with pytest.raises(BadInput, match=r"secrets\.env:2|cannot be read"):
            settings.secrets([], bad)
