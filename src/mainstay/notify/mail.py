"""Mail: building a message that threads, says why it came and how to stop it, and handing it to a mail server."""

import hashlib
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime
from urllib.parse import parse_qsl, unquote, urlsplit

from mainstay.model.errors import BadInput
from mainstay.model.report import Report, Tried
from mainstay.notify.headline import one_line
from mainstay.notify.message import Message

TIMEOUT_S = 20.0
PORTS = {"smtp": 25, "smtps": 465}
TLS = ("required", "offered", "none")


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over, and how."""

    host: str
    port: int
    implicit_tls: bool
    """TLS from the first byte (`smtps`)."""
    tls: str
    """Of `smtp`: STARTTLS is `required`, taken when `offered`, or `none`."""
    user: str | None = None
    password: str | None = None

    @property
    def shown(self) -> str:
        """The server in words, without what is secret."""
        return f"{self.host}:{self.port}"


def mail_server(url: str, password: str | None = None) -> MailServer:
    """`smtp://USER@HOST:PORT?tls=required|offered|none` or `smtps://...`. Raises BadInput.

    TLS is required where there is a user, so that no password goes out in the open unless somebody says `tls=none`.
    """
    wrong = "the mail server's address cannot be used: "
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadInput(f"{wrong}{error}") from None
    if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/"):
        raise BadInput(f"{wrong}write it as smtp://user@mail.example.org:587 or smtps://user@mail.example.org")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = given.pop("tls", "required" if parts.username else "offered")
    if given or tls not in TLS:
        raise BadInput(f"{wrong}after `?` only tls=required, tls=offered or tls=none may stand")
    user = unquote(parts.username) if parts.username else None
    secret = password if password is not None else unquote(parts.password) if parts.password else None
    if user and not secret:
        raise BadInput(f"{wrong}it names the user {user} but no password; give it in MAINSTAY_SMTP_PASSWORD")
    return MailServer(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "smtps", tls, user, secret)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a mail needs besides its words."""

    sender: str
    """The address that it comes from."""
    recipient: str
    instance: str
    """What tells this server's messages from another's: a short word."""
    way_out: str | None = None
    at: datetime | None = None


class _Whole(UnstructuredHeader, BaseHeader):
    """A header that is an address. Folded, a long one would become encoded words, which no program takes for one."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("list-unsubscribe", _Whole)
_POLICY = SMTP.clone(utf8=False, header_factory=_HEADERS)


def mail(report: Report, message: Message, envelope: Envelope) -> EmailMessage:
    """A mail of a report. The same report to the same recipient always has the same Message-ID."""
    made = EmailMessage(policy=_POLICY)
    made["Subject"] = one_line(message.heading)
    made["From"] = Address("Mainstay", addr_spec=envelope.sender)
    made["To"] = Address(addr_spec=envelope.recipient)
    made["Date"] = format_datetime(envelope.at or report.at)
    made["Message-ID"] = message_id(report.id, envelope)
    if report.answers is not None:
        first = message_id(report.answers, envelope)
        made["In-Reply-To"] = first
        made["References"] = first
    made["Auto-Submitted"] = "auto-generated"
    made["Precedence"] = "list"
    made["X-Mainstay-Report"] = report.kind.value
    if envelope.way_out:
        made["List-Unsubscribe"] = f"<{envelope.way_out}>"
        made["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    made.set_content(message.plain)
    made.add_alternative(message.html, subtype="html")
    return made


def message_id(report_id: int, envelope: Envelope) -> str:
    """What a receiver knows a repeat by, and a thread by its first message."""
    to = hashlib.sha256(envelope.recipient.encode()).hexdigest()[:12]
    return f"<report-{report_id}.{to}.{envelope.instance}@{envelope.sender.rpartition('@')[2]}>"


def send_all(server: MailServer, mails: Sequence[EmailMessage]) -> list[Tried]:
    """Hand mails over on one connection; say of each how it went. Blocks."""
    done: list[Tried] = []
    try:
        with _connected(server) as smtp:
            done.extend(_send(smtp, each) for each in mails)  # what was sent stays in `done` when one breaks off
    except (smtplib.SMTPException, OSError) as error:
        if len(done) < len(mails):
            said = f"the mail server {server.shown} {_plain(error)}"
            done += [Tried(sent=False, error=said, status=_status(error))] * (len(mails) - len(done))
    return done


def _connected(server: MailServer) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if server.implicit_tls:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
        smtp.ehlo()
        if server.tls == "required" or (server.tls == "offered" and smtp.has_extn("starttls")):
            smtp.starttls(context=context)
            smtp.ehlo()
    if server.user:
        smtp.login(server.user, server.password or "")
    return smtp


def _send(smtp: smtplib.SMTP, made: EmailMessage) -> Tried:
    """One mail. A refusal of this one does not end the connection; anything else comes out."""
    try:
        smtp.send_message(made)
    except smtplib.SMTPRecipientsRefused as error:
        status, said = next(iter(error.recipients.values()))
        return Tried(sent=False, error=f"refused: {_text(said)}", status=status, for_good=status >= 500)
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        refused, code = _text(error.smtp_error), error.smtp_code
        return Tried(sent=False, error=f"refused: {refused}", status=code, for_good=code >= 500)
    return Tried(sent=True, status=250)


def _plain(error: BaseException) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "does not take the user or the password"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"cannot do what is asked of it: {error}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"said {error.smtp_code}: {_text(error.smtp_error)}"
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be reached: {error.strerror.lower()}"
    return f"broke off: {error}"


def _status(error: BaseException) -> int | None:
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else None


def _text(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return one_line(text)[:300]
