"""Outgoing webhooks: signed as Standard Webhooks has it, sent to the address that was judged, never redirected."""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from mainstay import __version__
from mainstay.model.errors import BadInput, MainstayError
from mainstay.model.report import Facts, Report, ReportKind, Tried
from mainstay.notify import reach
from mainstay.notify.message import iso
from mainstay.notify.reach import Reach

TYPES = {
    ReportKind.BROKEN: "branch.broken",
    ReportKind.STILL_BROKEN: "branch.still-broken",
    ReportKind.FIXED: "branch.fixed",
    ReportKind.FLAKY: "tests.flaky",
    ReportKind.DIGEST: "build.digest",
    ReportKind.FINISHED: "build.finished",
    ReportKind.PING: "ping",
}
SECRET_PREFIX = "whsec_"  # noqa: S105 - what Standard Webhooks' secrets begin with, not one
CONNECT_S, READ_S = 5.0, 10.0
ANSWER = 300
"""Bytes of an answer that are kept of a refusal."""
GONE = 410
MAX_URL = 2000


def new_secret() -> str:
    """A fresh secret in the form that receivers' libraries take."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: HMAC-SHA256 over id, time and body."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def checked(url: str) -> SplitResult:
    """An address that a webhook can be sent to, in its parts. Raises BadInput."""
    wrong = f"{url[:200]!r} is no address for a webhook: "
    if len(url) > MAX_URL or not url.isascii() or any(sign <= " " or sign in '\\"<>' for sign in url):
        raise BadInput(f"{wrong}at most {MAX_URL} printable ASCII characters, without spaces and quotes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadInput(f"{wrong}{error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadInput(f"{wrong}it begins with https:// or http:// and names a host")
    if parts.username is not None or parts.fragment:
        raise BadInput(f"{wrong}it holds no user name and no fragment; every request is signed instead")
    return parts


def shown(url: str) -> str:
    """The address as it may be shown: tokens often stand in the query."""
    parts = checked(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}" + ("?…" if parts.query else "")


def body_of(report: Report, address: str) -> bytes:
    """The JSON that is sent."""
    facts = report.facts
    data: dict[str, Any] = {
        "repository": facts.repository,
        "ref": facts.ref,
        "report": report.id,
        "answers": report.answers,
        "build": _build(facts, address),
        "commits": [_commit(each) for each in facts.commits],
        "commits_total": facts.commits_total,
        "run_again": facts.again,
        "since": iso(facts.since_at) if facts.since_at else None,
        "first_bad": facts.first_bad,
        "tests": [{"name": each.name, "message": each.message} for each in facts.tests],
        "tests_total": facts.tests_total,
        "jobs": [
            {"id": each.job_id, "name": each.name, "state": each.state, "reason": each.reason or None}
            for each in facts.jobs
        ],
        "jobs_total": facts.jobs_total,
    }
    return msgspec.json.encode({"type": TYPES[report.kind], "timestamp": iso(report.at), "data": data})


def _build(facts: Facts, address: str) -> dict[str, Any] | None:
    if facts.build_id is None:
        return None
    return {
        "id": facts.build_id,
        "number": facts.number,
        "workflow": facts.workflow,
        "event": facts.event,
        "state": facts.state,
        "commit": facts.commit.sha if facts.commit else None,
        "tests": facts.counts,
        "url": f"{address}/builds/{facts.build_id}",
    }


def _commit(commit: Any) -> dict[str, str]:
    return {"sha": commit.sha, "author": commit.author, "email": commit.email, "subject": commit.subject}


def judged(url: str, reaching: Reach) -> None:
    """Look whether an address is within reach. Blocks. Raises BadInput, Unavailable."""
    reach.addresses(*_place(checked(url)), reaching)


def _place(parts: SplitResult) -> tuple[str, int]:
    """Host and port."""
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def send(url: str, secret: str, message_id: str, body: bytes, reaching: Reach, now: datetime) -> Tried:
    """Post it once. Anything but an answer of 2xx is a failure; a redirect is one too."""
    # Imported here: it takes 50 ms, and a server that sends no webhooks does without.
    import urllib3  # noqa: PLC0415

    parts = checked(url)
    host, port = _place(parts)
    try:
        ip = reach.addresses(host, port, reaching)[0]
    except MainstayError as error:
        return Tried(sent=False, error=error.message)
    timestamp = int(now.timestamp())
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": f"mainstay/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }
    timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    pool: urllib3.HTTPConnectionPool
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(ip, port, timeout=timeout, server_hostname=host, assert_hostname=host)
    else:
        pool = urllib3.HTTPConnectionPool(ip, port, timeout=timeout)
    with pool:
        try:
            answer = pool.urlopen(
                "POST", path, body=body, headers=headers, redirect=False, retries=False, preload_content=False
            )
            said = answer.read(ANSWER, decode_content=False)
            answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Tried(sent=False, error=f"{parts.scheme}://{parts.netloc} cannot be reached: {_plain(error)}")
    if 200 <= answer.status < 300:
        return Tried(sent=True, status=answer.status)
    text = " ".join(said.decode("utf-8", "replace").split())
    error_text = f"answered with {answer.status}" + (f": {text[:200]}" if text else "")
    return Tried(sent=False, error=error_text, status=answer.status, for_good=answer.status == GONE)


def _plain(error: BaseException) -> str:
    """The reason without the machinery around it."""
    text = str(error).rpartition(": ")[2] or type(error).__name__
    return " ".join(text.split())[:200]
