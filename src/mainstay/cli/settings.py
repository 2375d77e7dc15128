"""Every setting: its name in the environment, what it is for, its default. The only reader of the environment.

An option on the command line wins over the environment, the environment over the data folder. Where a running
`mainstay up` can be found is told by two files in its data folder: `url` and `token`.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mainstay.model.errors import BadInput, Unavailable


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable that Mainstay reads."""

    name: str
    option: str | None
    """The option that says the same and wins over it."""
    default: str
    """In words, for people."""
    meaning: str


URL = Setting(
    "MAINSTAY_URL",
    "--server",
    "the address that a running `mainstay up` left in the data folder",
    "The server's address.",
)
TOKEN = Setting(
    "MAINSTAY_TOKEN",
    "--token",
    "the token that a running `mainstay up` left in the data folder, for that server only",
    "The token that proves who asks.",
)
RUNNER_TOKEN = Setting(
    "MAINSTAY_RUNNER_TOKEN",
    "--token",
    "none",
    "For `mainstay runner` and `mainstay-runner`: the token that `mainstay runner-token` made.",
)
DATA = Setting(
    "MAINSTAY_DATA",
    "--data",
    "`mainstay` in the platform's user data folder (`~/.local/share/mainstay` on Linux)",
    "The data folder: database, logs and artifacts, mirrors, keys, and the files `url` and `token`.",
)
DATABASE = Setting(
    "MAINSTAY_DATABASE",
    "--database",
    "`mainstay.sqlite3` in the data folder",
    "The database: `sqlite:///PATH` or `postgresql://USER@HOST/NAME`.",
)
BLOBS = Setting(
    "MAINSTAY_BLOBS",
    "--blobs",
    "`blobs` in the data folder",
    "Where finished logs and artifacts are kept: a folder or `s3://BUCKET/PREFIX`.",
)
PUBLIC_URL = Setting(
    "MAINSTAY_PUBLIC_URL",
    "--public-url",
    "`http://HOST:PORT` of the server itself",
    "The address under which people and runners reach the server, when a proxy stands before it.",
)
SMTP = Setting(
    "MAINSTAY_SMTP",
    "--smtp",
    "none: no mail is sent",
    "The mail server: `smtp://USER@HOST:587` or `smtps://USER@HOST`; `?tls=required`, `offered` or `none`.",
)
SMTP_PASSWORD = Setting(
    "MAINSTAY_SMTP_PASSWORD", None, "none", "The password of the user in the mail server's address."
)
SMTP_PASSWORD_FILE = Setting("MAINSTAY_SMTP_PASSWORD_FILE", None, "none", "A file that holds that password.")
MAIL_FROM = Setting(
    "MAINSTAY_MAIL_FROM", "--mail-from", "`mainstay@HOST` of the server's address", "The address that mail comes from."
)
MAIL_AUTHORS = Setting(
    "MAINSTAY_MAIL_AUTHORS",
    None,
    "none: only those who have an account or are on a channel get mail",
    "Domains, with commas between, at which authors of commits are told that they broke a branch.",
)
REACH = Setting(
    "MAINSTAY_REACH",
    None,
    "`network`",
    "How far webhooks, chats and the addresses of repositories that maintainers give may reach: `internet` (public "
    "addresses), `network` (private ones too) or `machine` (this machine as well).",
)
LEASE = Setting(
    "MAINSTAY_LEASE",
    None,
    "`45`",
    "Seconds that a runner may be silent before its jobs are tried again elsewhere: 3 to 3600; the same for all "
    "servers of a database.",
)
OPENID_ISSUER = Setting(
    "MAINSTAY_OPENID_ISSUER", None, "none: no OpenID Connect", "The identity provider's address (`issuer`)."
)
OPENID_CLIENT = Setting("MAINSTAY_OPENID_CLIENT_ID", None, "none", "What the provider calls this server.")
OPENID_SECRET = Setting("MAINSTAY_OPENID_CLIENT_SECRET", None, "none: a public client", "The secret it has given.")
OPENID_SECRET_FILE = Setting("MAINSTAY_OPENID_CLIENT_SECRET_FILE", None, "none", "A file that holds that secret.")
OPENID_LABEL = Setting("MAINSTAY_OPENID_LABEL", None, "`OpenID Connect`", "What people know the provider by.")
OPENID_GROUPS = Setting(
    "MAINSTAY_OPENID_GROUPS",
    None,
    "none: groups give no roles",
    "Which roles the provider's groups give: `GROUP=ROLE` in all repositories, `GROUP=ROLE@REPOSITORY` in one; blanks "
    "between.",
)
OPENID_CLAIM = Setting("MAINSTAY_OPENID_GROUPS_CLAIM", None, "`groups`", "The claim that holds somebody's groups.")
OPENID_DOMAINS = Setting(
    "MAINSTAY_OPENID_DOMAINS", None, "all", "Mail domains, commas between, of those who may sign in with the provider."
)
PUBLIC_READING = Setting(
    "MAINSTAY_PUBLIC_READING",
    None,
    "`all` on a loopback address without a public address, else `marked`",
    "What is read without signing in: `all`, what is `marked` (`mainstay repo set NAME --public`), or `none`.",
)
HOOK_SECRETS = Setting(
    "MAINSTAY_HOOK_SECRETS",
    None,
    "none: webhooks without a signature are taken too",
    "What webhooks must be signed with: `FORGE=SECRET` for each forge, blanks or line ends between.",
)
HOOK_SECRETS_FILE = Setting("MAINSTAY_HOOK_SECRETS_FILE", None, "none", "A file that holds those secrets.")
NO_COLOR = Setting("NO_COLOR", None, "unset: colours on a terminal, none elsewhere", "Set to anything: no colours.")

SETTINGS = (
    URL,
    TOKEN,
    RUNNER_TOKEN,
    DATA,
    DATABASE,
    BLOBS,
    PUBLIC_URL,
    SMTP,
    SMTP_PASSWORD,
    SMTP_PASSWORD_FILE,
    MAIL_FROM,
    MAIL_AUTHORS,
    REACH,
    LEASE,
    OPENID_ISSUER,
    OPENID_CLIENT,
    OPENID_SECRET,
    OPENID_SECRET_FILE,
    OPENID_LABEL,
    OPENID_GROUPS,
    OPENID_CLAIM,
    OPENID_DOMAINS,
    PUBLIC_READING,
    HOOK_SECRETS,
    HOOK_SECRETS_FILE,
    NO_COLOR,
)


@dataclass(frozen=True, slots=True)
class Target:
    """The server that a client command speaks to."""

    url: str
    """Without a slash at its end."""
    token: str | None
    origin: str
    """How it was found, in words."""


def value(setting: Setting) -> str | None:
    """What the environment says; set to nothing counts as not set."""
    return os.environ.get(setting.name) or None


def shard(variable: str) -> str | None:
    """What a job says of the part of its suite that is wanted, in a variable of the plugin of pytest; None: nothing.

    It is a job's, not a setting of the server.
    """
    return os.environ.get(variable)


def secret(setting: Setting, file: Setting) -> str | None:
    """What the environment says, or the file that it names, so that a secret need not stand in the environment."""
    named = value(file)
    return value(setting) or (None if named is None else _read(Path(named)))


def hook_secrets(forges: Collection[str]) -> dict[str, str]:
    """Forge name to the secret of its webhooks. Raises BadInput for what is not `FORGE=SECRET`."""
    found = {}
    for each in (secret(HOOK_SECRETS, HOOK_SECRETS_FILE) or "").split():
        forge, equals, text = each.partition("=")
        if not equals or not text:
            raise BadInput(
                f"{HOOK_SECRETS.name} holds `FORGE=SECRET` for each forge, blanks between; one has no secret."
            )
        if forge not in forges:
            raise BadInput(f"{HOOK_SECRETS.name} names the forge {forge[:40]!r}; there are {', '.join(forges)}.")
        found[forge] = text
    return found


def lease_s() -> float | None:
    """Seconds that a runner may be silent; None: nothing is said. Raises BadInput."""
    said = value(LEASE)
    if said is None:
        return None
    if not (said.isascii() and said.isdigit() and len(said) < 6 and 3 <= int(said) <= 3600):
        raise BadInput(f"{LEASE.name} is a whole number of seconds from 3 to 3600, not {said[:40]!r}.")
    return float(said)


def public_reading() -> str | None:
    """What is read without signing in; None: nothing is said. Raises BadInput."""
    said = value(PUBLIC_READING)
    if said not in (None, "all", "marked", "none"):
        raise BadInput(f"{PUBLIC_READING.name} is all, marked or none, not {said!r}.")
    return said


def colours_wanted() -> bool:
    """What the user asks of colours, as no-color.org has it; whether there is a terminal is for `terminal` to see."""
    return value(NO_COLOR) is None and os.environ.get("TERM") != "dumb"


def data_folder(option: str | None) -> Path:
    """The data folder that option, environment or platform name. It need not exist yet."""
    named = option or value(DATA)
    if named:
        return Path(named).expanduser().absolute()
    # Imported here: start-up time. A command that is told its folder does without.
    from platformdirs import user_data_path  # noqa: PLC0415

    return user_data_path("mainstay", appauthor=False)


def find_server(server: str | None, token: str | None, data: str | None) -> Target:
    """The server that options, environment or the data folder name, in this order."""
    named = server or value(URL)
    given = token or value(TOKEN)
    origin = "--server" if server else URL.name
    if named and given:
        return Target(_checked(named, origin), given, origin)
    folder = data_folder(data)
    file = folder / "url"
    url = _read(file)
    if named:
        chosen = _checked(named, origin)
        # The folder's token is for the folder's server: no other may see it.
        return Target(chosen, _read(folder / "token") if url and chosen == url.rstrip("/") else None, origin)
    if url is None:
        raise Unavailable(
            f"No server is known: neither --server nor {URL.name} is given, and no running `mainstay up` has left its "
            f"address in {folder}. Start one with `mainstay up`, or name one with --server URL."
        )
    return Target(_checked(url, str(file)), given or _read(folder / "token"), str(file))


def secrets(written: Sequence[str], file: Path | None = None) -> dict[str, str]:
    """Secrets as the command line has them: `NAME=VALUE`, or `NAME` for the value that the environment has.

    Those of a file, a line each, come before. Raises BadInput.
    """
    found = {} if file is None else _secrets_of(file)
    for each in written:
        name, equals, value = each.partition("=")
        if not equals:
            if name not in os.environ:
                raise BadInput(
                    f"--secret {name}: the environment has no {name}; set it, or write --secret {name}=VALUE."
                )
            value = os.environ[name]
        found[name] = value
    return found


def _secrets_of(file: Path) -> dict[str, str]:
    """Lines `NAME=VALUE`, as `.env` files have them: a value may stand in quotes, a line with # first says nothing."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--secrets-file {file} cannot be read: {error}.") from None
    found = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"{file}:{number} is not NAME=VALUE.")
        value = value.strip()
        is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        found[name.strip()] = value[1:-1] if is_quoted else value
    return found


def _checked(url: str, origin: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise BadInput(f"{origin} gives {url!r} as the server's address; it must begin with http:// or https://.")
    return url.rstrip("/")


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from error
