"""A token in a repository's address is for git alone: no page, answer or job shows it."""

from mainstay.model.repository import Repository, without_credentials


def test_an_address_is_shown_without_user_and_password() -> None:
    assert without_credentials("https://ada:secret@git.example.org/x.git") == "https://***@git.example.org/x.git"
    assert without_credentials("https://git.example.org/a@b") == "https://git.example.org/a@b"
    assert without_credentials("git@git.example.org:x.git") == "git@git.example.org:x.git"
    assert Repository(1, "x", "https://t0ken@git.example.org/x").address == "https://***@git.example.org/x"
    assert Repository(1, "x", None).address is None
