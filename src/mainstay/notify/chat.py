"""Chat services, through apprise: which of its addresses are taken, and sending one message."""

import logging
import re
import threading
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from mainstay.model.errors import BadInput, MainstayError
from mainstay.model.report import ReportKind, Tried
from mainstay.notify import reach
from mainstay.notify.message import Message, uncalled
from mainstay.notify.reach import Reach

AT_THE_SERVICE = (
    "dingtalk", "discord", "feishu", "flock", "gchat", "lark", "line", "msteams", "pover", "slack", "tgram", "twist",
    "webex", "wecom", "wecombot", "workflow", "workflows", "wxteams",
)  # fmt: skip
"""Services whose own host the plugin knows; nobody can make them call another."""
ANYWHERE = (
    "form", "forms", "gotify", "gotifys", "json", "jsons", "matrix", "matrixs", "mmost", "mmosts", "nctalk", "nctalks",
    "ntfy", "ntfys", "rocket", "rockets", "synology", "synologys", "zulip",
)  # fmt: skip
"""Services at a host of the user's: where that is, is judged before each message."""
MAX_URL = 2000
TIMEOUT_S = 10.0
REFUSED_KEYS = (
    "redirect", "verify", "cto", "rto", "attach", "format", "overflow", "retry", "wait", "template", "discovery",
)  # fmt: skip
"""What apprise takes in an address and we set ourselves, or what reads files of this machine (`template`) or lets a
server name another one that nobody judges (`discovery`)."""
TYPES = {ReportKind.BROKEN: "failure", ReportKind.STILL_BROKEN: "failure", ReportKind.FIXED: "success"}
HOSTED_ELSEWHERE = frozenset({"workflow", "workflows"})
"""Plugins of a service whose address holds the host all the same (Teams' workflows)."""


def checked(url: str) -> str:
    """Look whether this is the address of a chat that messages may go to; give it as it may be shown.

    Raises BadInput. Everything that apprise can do on this machine (files, programs, the desktop) is not on the list.
    """
    plugin = _plugin(url)
    scheme = url.partition("://")[0].lower()
    if scheme in ANYWHERE:  # their paths may hold tokens that no plugin knows to hide
        return f"{scheme}://{getattr(plugin, 'host', '')}/…"
    return str(plugin.url(privacy=True)).partition("?")[0]


def judged(url: str, reaching: Reach) -> None:
    """Look whether a chat is within reach. Blocks. Raises BadInput, Unavailable."""
    _judge_host(url, _plugin(url), reaching)


def send(url: str, message: Message, kind: ReportKind, reaching: Reach) -> Tried:
    """Send one message. Blocks."""
    try:
        plugin = _plugin(url)
        holding = _judge_host(url, plugin, reaching)
    except MainstayError as error:
        return Tried(sent=False, error=error.message, for_good=False)
    with _Heard() as heard, holding:
        sent = plugin.notify(
            title=uncalled(message.heading), body=message.chat, notify_type=TYPES.get(kind, "info"), body_format="text"
        )
    if sent:
        return Tried(sent=True)
    return Tried(sent=False, error=heard.last or "the service did not take the message and gave no reason")


def _plugin(url: str) -> Any:
    scheme = url.partition("://")[0].lower()
    if scheme not in (*AT_THE_SERVICE, *ANYWHERE):
        known = ", ".join(each for each in (*AT_THE_SERVICE, *ANYWHERE) if f"{each}s" not in ANYWHERE)
        raise BadInput(f"{scheme[:40]!r} is not a chat service that messages can go to; there are {known}")
    if len(url) > MAX_URL or not url.isprintable():
        raise BadInput(f"the address of a chat has at most {MAX_URL} printable characters")
    # As apprise splits them: at `;` too.
    pairs = re.split("[?&;]", url.partition("?")[2])
    keys = {unquote(pair.partition("=")[0].replace("+", " ")).strip().lower() for pair in pairs}
    if unwanted := sorted(keys.intersection(REFUSED_KEYS)):
        raise BadInput(f"the address of the chat may not hold {unwanted[0]}=; leave it out")
    apprise = _apprise()
    asset = apprise.AppriseAsset(
        async_mode=False, storage_mode="memory", http_redirects=False, secure_logging=True, app_id="Mainstay",
        service_timeout=TIMEOUT_S * 3,
    )  # fmt: skip
    with _Heard() as heard:
        made = apprise.Apprise.instantiate(f"{url}{'&' if '?' in url else '?'}cto=5&rto={TIMEOUT_S:g}", asset=asset)
    if made is None:
        raise BadInput(
            f"this is not a whole address of {scheme}: {heard.last or 'something is missing in it'}; apprise's page on "
            f"{scheme} shows its form"
        )
    if getattr(made, "template", None):
        raise BadInput("the address of the chat may not hold a template; leave it out")
    if scheme in ("matrix", "matrixs"):
        made.discovery = False  # what a server names as its real self would not be judged
    return made


def _judge_host(url: str, plugin: Any, reaching: Reach) -> AbstractContextManager[None]:
    """Judge where a plugin calls; give what holds it to that while it sends. Raises BadInput, Unavailable."""
    scheme = url.partition("://")[0].lower()
    if scheme not in ANYWHERE and scheme not in HOSTED_ELSEWHERE:
        return nullcontext()
    host = _host(url, plugin)
    reach.addresses(host, int(getattr(plugin, "port", None) or 443), reaching)
    # Through a proxy we call that alone, and it is the operator's own.
    proxied = getproxies_environment() and not proxy_bypass(host)
    return nullcontext() if proxied else reach.held(reaching)


def _host(url: str, plugin: Any) -> str:
    """Where a plugin calls."""
    if url.lower().startswith("zulip://"):
        host = f"{plugin.organization}.{plugin.hostname}"
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", host):
            raise BadInput(f"{host[:200]!r} is no host")
        return host
    return str(getattr(plugin, "host", None) or urlsplit(url).hostname or "")


def _apprise() -> ModuleType:
    # Imported here: 0.2 s and 20 MB, and a server with no chat channel does without.
    import apprise  # noqa: PLC0415

    return apprise


class _Heard(logging.Handler):
    """What apprise says in this thread while the block lasts: it tells why something failed only in its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = " ".join(record.getMessage().split())[:300]

    def __enter__(self) -> "_Heard":
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)
