"""What `mainstay doctor` finds wrong with a data folder."""

from pathlib import Path

from mainstay.cli.doctor import Finding, findings


def of_data(folder: Path) -> list[Finding]:
    return [each for each in findings("http://127.0.0.1:9", "none", str(folder)) if each.name == "data"]


def test_a_data_folder_that_others_can_look_into_is_told_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir(mode=0o755)
    told = of_data(folder)[-1]
    assert told.state == "allowed"
    assert f"chmod 700 '{folder}'" in told.message
    folder.chmod(0o700)
    assert [each.state for each in of_data(folder)] == ["passed"]
