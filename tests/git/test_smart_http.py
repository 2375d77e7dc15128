"""Our own git server, tried with the real git as its client, and with the runner's own request."""

import asyncio
import gzip
import http.client
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from mainstay.git import checkout, smart_http
from mainstay.git.keys import Access, Pinned
from mainstay.git.mirror import Mirror
from mainstay.git.names import is_sha
from mainstay.git.process import INHERITED_PROXIES, GitError, run
from mainstay.model.errors import BadInput, MainstayError, NotFound, TooLarge
from mainstay.model.repository import RefMove
from tests.git.conftest import ENV, Origin

pytestmark = pytest.mark.anyio


@dataclass
class Served:
    """A repository behind HTTP, as web/ wraps it."""

    path: Path
    url: str = ""
    moves: list[RefMove] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    refuse: MainstayError | None = None
    limit_bytes: int = smart_http.PUSH_LIMIT_BYTES

    async def moved(self, moves: list[RefMove]) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.moves += moves

    async def answer(self, request: Request) -> Response:
        self.requests.append(dict(request.headers))
        protocol, encoding = request.headers.get("git-protocol"), request.headers.get("content-encoding")
        try:
            match request.path_params["rest"]:
                case "info/refs":
                    service = parse_qs(urlsplit(str(request.url)).query).get("service", [""])[0]
                    answer = await smart_http.advertise(self.path, service, protocol)
                case "git-upload-pack":
                    answer = await smart_http.upload(self.path, request.stream(), protocol=protocol, encoding=encoding)
                case "git-receive-pack":
                    answer = await smart_http.receive(
                        self.path,
                        request.stream(),
                        self.moved,
                        protocol=protocol,
                        encoding=encoding,
                        limit_bytes=self.limit_bytes,
                    )
                case _:
                    return Response(status_code=404)
        except MainstayError as error:
            return Response(str(error), status_code=error.status)
        return StreamingResponse(answer.body, answer.status, answer.headers)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    mirror = Mirror(tmp_path / "served.git")
    await mirror.create()
    served = Served(mirror.path)
    routes = [
        Route("/git/demo.git/{rest:path}", served.answer, methods=["GET", "POST"]),
        Route("/moved.git/info/refs", lambda request: RedirectResponse(f"/git/demo.git/info/refs?{request.url.query}")),
    ]
    app = Starlette(routes=routes)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    served.url = f"http://127.0.0.1:{port}/git/demo.git"
    yield served
    server.should_exit = True
    await task
    await mirror.close()


async def git(origin: Origin, *args: str, fails: bool = False) -> str:
    """Run git as a person would, while our server answers on this loop."""
    process = await asyncio.create_subprocess_exec(
        "git", *args, cwd=origin.work, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert (process.returncode != 0) is fails, out.decode()
    return out.decode("utf-8", "replace")


async def test_a_push_is_taken_in_and_the_moved_refs_are_told(origin: Origin, served: Served) -> None:
    first = origin.commit()
    await git(origin, "push", served.url, "HEAD:refs/heads/main", "HEAD:refs/heads/other")
    assert served.moves == [RefMove("refs/heads/main", None, first), RefMove("refs/heads/other", None, first)]
    served.moves.clear()
    second = origin.commit("second")
    await git(origin, "push", served.url, "HEAD:refs/heads/main", ":refs/heads/other")
    assert served.moves == [RefMove("refs/heads/main", first, second), RefMove("refs/heads/other", first, None)]


async def test_a_force_push_is_taken_and_what_it_pushed_away_stays(origin: Origin, served: Served) -> None:
    base = origin.commit()
    lost = origin.commit("lost")
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    origin.git("reset", "-q", "--hard", base)
    await git(origin, "push", served.url, "+HEAD:refs/heads/main")
    assert served.moves[-1] == RefMove("refs/heads/main", lost, base)
    mirror = Mirror(served.path)
    assert await mirror.read(lost, "lost") == b"lost\n"
    await mirror.close()


async def test_a_push_whose_storing_fails_is_not_acknowledged(origin: Origin, served: Served) -> None:
    origin.commit()
    served.refuse = MainstayError("the database is away")
    await git(origin, "push", served.url, "HEAD:refs/heads/main", fails=True)


async def test_a_large_push_arrives_whole(origin: Origin, served: Served) -> None:
    for number in range(150):
        (origin.work / f"file{number}").write_bytes(number.to_bytes(4, "big") * 20_000)
    sha = origin.commit("last")
    said = await git(origin, "-c", "http.postBuffer=65536", "push", "--progress", served.url, "HEAD:refs/heads/main")
    assert "main" in said
    assert served.moves == [RefMove("refs/heads/main", None, sha)]
    await git(origin, "clone", "-q", served.url, "../again")
    assert (origin.work.parent / "again/file149").stat().st_size == 80_000


async def test_a_push_over_the_limit_is_refused(origin: Origin, served: Served) -> None:
    served.limit_bytes = 2000
    origin.commit("big", bytes(range(256)) * 4 + b"".join(n.to_bytes(4, "big") for n in range(20_000)))
    said = await git(origin, "push", served.url, "HEAD:refs/heads/main", fails=True)
    assert "exceeds" in said or "unpack" in said
    assert served.moves == []


async def test_a_push_of_damaged_objects_is_refused(origin: Origin, served: Served) -> None:
    tree = origin.git("mktree")
    bad = origin.git(
        "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=f"tree {tree}\nauthor x\n\nno\n".encode()
    )
    said = await git(origin, "push", served.url, f"{bad}:refs/heads/main", fails=True)
    assert "fsck" in said or "unpack" in said
    assert served.moves == []


async def test_hooks_of_the_repository_do_not_run(origin: Origin, served: Served, tmp_path: Path) -> None:
    hooks = served.path / "hooks"
    hooks.mkdir()
    for name in ("pre-receive", "update", "post-receive"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    origin.commit()
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("version", ["0", "1", "2"])
async def test_clones_work_in_every_version_of_the_protocol(origin: Origin, served: Served, version: str) -> None:
    sha = origin.commit()
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    await git(origin, "-c", f"protocol.version={version}", "clone", "-q", "-b", "main", served.url, "../clone")
    assert origin.git("rev-parse", "HEAD", cwd=origin.work.parent / "clone") == sha
    await git(origin, "-c", f"protocol.version={version}", "clone", "-q", "--depth=1", served.url, "../shallow")


async def test_a_commit_that_no_ref_has_can_be_fetched_by_its_id(origin: Origin, served: Served) -> None:
    base = origin.commit()
    lost = origin.commit("lost")
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    await git(origin, "push", served.url, f"+{base}:refs/heads/main")
    for version in ("0", "2"):
        await git(origin, "init", "-q", "--bare", f"../v{version}.git")
        await git(
            origin, "-C", f"../v{version}.git", "-c", f"protocol.version={version}", "fetch", "-q", served.url, lost
        )


async def test_a_compressed_request_is_understood(origin: Origin, served: Served) -> None:
    """Git compresses a request of many lines: 200 commits that the server has never heard of."""
    origin.commit()
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    other = origin.work.parent / "other"
    await git(origin, "init", "-q", str(other))
    for number in range(60):
        origin.git("commit", "-q", "--allow-empty", "-m", f"{number}", cwd=other)
        origin.git("branch", f"b{number}", cwd=other)
    await git(origin, "-C", str(other), "fetch", "-q", served.url, "main")
    assert "gzip" in {headers.get("content-encoding") for headers in served.requests}


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"not gzip", "gzip", 422),
        (gzip.compress(b"0000", mtime=0)[:-4], "gzip", 422),
        (b"x", "br", 422),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_refused(
    served: Served, body: bytes, encoding: str, status: int
) -> None:
    assert (await _post(served, body, {"Content-Encoding": encoding}))[0] == status


async def test_a_request_that_never_ends_is_cut(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_http, "REQUEST_LIMIT_BYTES", 10_000)

    async def endless() -> AsyncIterator[bytes]:
        yield b"0011command=fetch0001"
        while True:  # with what git reads on and on; of a wrong word it would tell before the limit is reached
            yield b"000dthin-pack"
            await asyncio.sleep(0)

    with pytest.raises(TooLarge):
        await smart_http.upload(served.path, endless(), protocol="version=2")


async def test_a_gzip_bomb_fills_no_memory_and_is_cut(served: Served) -> None:
    bomb = gzip.compress(b"0" * (smart_http.REQUEST_LIMIT_BYTES * 2))
    status, _ = await _post(served, bomb, {"Content-Encoding": "gzip"})
    assert status in (200, 413, 500)


async def test_a_reader_that_goes_away_ends_git(origin: Origin, served: Served) -> None:
    sha = origin.commit("big", b"".join(n.to_bytes(4, "big") for n in range(500_000)))
    await git(origin, "push", served.url, "HEAD:refs/heads/main")

    async def body() -> AsyncIterator[bytes]:
        yield checkout.fetch_request([sha])

    answer = await smart_http.upload(served.path, body(), protocol="version=2")
    await anext(answer.body)
    await answer.body.aclose()


@pytest.mark.parametrize("service", ["", "git-upload-archive", "upload-pack", "--help"])
async def test_a_service_that_is_none_is_refused(served: Served, service: str) -> None:
    with pytest.raises(BadInput):
        await smart_http.advertise(served.path, service, None)


@pytest.mark.parametrize("protocol", ["version=2; rm -rf /", "version=2\nX=1", "x" * 300])
async def test_a_protocol_header_that_is_none_is_left_out(served: Served, protocol: str) -> None:
    answer = await smart_http.advertise(served.path, "git-upload-pack", protocol)
    assert b"# service=git-upload-pack" in b"".join([piece async for piece in answer.body])


async def test_the_runner_fetches_one_commit_and_then_what_is_new(
    origin: Origin, served: Served, tmp_path: Path
) -> None:
    first = origin.commit("file", "one")
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    runner = Mirror(tmp_path / "runner.git")
    await runner.create()
    await checkout.take_pack(runner.path, _fetch(served, [first], []))
    second = origin.commit("file", "two")
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    await checkout.take_pack(runner.path, _fetch(served, [second], [first]))
    assert await runner.read(second, "file") == b"two"
    assert await runner.new_commits(second, []) == [second, first]
    assert (await checkout.read_verified(runner.path, second)).startswith(b"tree ")
    await runner.close()


async def test_a_commit_that_the_server_does_not_have_is_said_in_words(served: Served, tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"did not send the commits: .*not our ref"):
        await checkout.take_pack(served.path, _fetch(served, ["1" * 40], []))


async def test_an_answer_that_breaks_off_leaves_nothing(origin: Origin, served: Served, tmp_path: Path) -> None:
    sha = origin.commit("file", "one")
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    whole = b"".join([piece async for piece in _fetch(served, [sha], [])])

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(data), 3):
            yield data[at : at + 3]

    runner = Mirror(tmp_path / "runner.git")
    await runner.create()
    for end in (0, 5, 20, len(whole) // 2, len(whole) - 4):
        with pytest.raises(GitError):
            await checkout.take_pack(runner.path, pieces(whole[:end]))
        assert await runner.commit_of(sha) is None
    with pytest.raises(GitError, match="not git's"):
        await checkout.take_pack(runner.path, pieces(b"<html>sorry</html>"))
    await checkout.take_pack(runner.path, pieces(whole))
    assert await runner.commit_of(sha) == sha
    await runner.close()


async def test_the_program_fetches_with_a_token_that_no_command_line_shows(
    origin: Origin, served: Served, tmp_path: Path
) -> None:
    sha = origin.commit()
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    await run("init", "-q", "--bare", str(tmp_path / "r.git"))
    served.requests.clear()
    await checkout.fetch(tmp_path / "r.git", served.url, "t0ken", {"refs/heads/-x": sha})
    assert {headers.get("authorization") for headers in served.requests} == {checkout.basic("t0ken")}
    assert (await run("rev-parse", "refs/heads/-x", git_dir=tmp_path / "r.git")).text == sha
    assert not [path for path in (tmp_path / "r.git").rglob("*") if path.is_file() and b"t0ken" in path.read_bytes()]


async def test_a_remote_over_http_is_mirrored_and_its_default_branch_known(
    origin: Origin, served: Served, tmp_path: Path
) -> None:
    sha = origin.commit()
    origin.git("tag", "-a", "v1", "-m", "v1")
    await git(origin, "push", served.url, "HEAD:refs/heads/main", "v1")
    mirror = Mirror(tmp_path / "m.git")
    await mirror.create()
    listed = await mirror.remote_refs(served.url, head=True)
    assert listed.head == "refs/heads/main"
    assert (await mirror.remote_refs(served.url)).refs == listed.refs
    await mirror.fetch(served.url, dict(listed.refs))
    assert await mirror.refs() == listed.refs
    second = origin.commit("second")
    await git(origin, "push", served.url, "+HEAD:refs/heads/main")
    await mirror.fetch(served.url, {"refs/heads/main": second, "refs/tags/v1": None})
    assert await mirror.new_commits(second, [sha]) == [second]
    with pytest.raises(GitError):
        await mirror.fetch(served.url, {"refs/heads/main": "1" * 40})
    assert await mirror.refs() == {"refs/heads/main": second}
    await mirror.close()


async def test_a_remote_that_was_judged_is_called_where_it_was_and_nowhere_else(
    origin: Origin, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in INHERITED_PROXIES:
        monkeypatch.delenv(name, raising=False)
    sha = origin.commit()
    await git(origin, "push", served.url, "HEAD:refs/heads/main")
    place = urlsplit(served.url)
    mirror = Mirror(tmp_path / "m.git")
    await mirror.create()
    assert place.port is not None
    here = Access(None, tmp_path / "known_hosts", Pinned("forge.invalid", place.port, ("127.0.0.1",)))
    # No name server knows this name: git has been told its address.
    url = f"http://forge.invalid:{place.port}{place.path}"
    listed = await mirror.remote_refs(url, here, head=True)
    await mirror.fetch(url, dict(listed.refs), here)
    assert await mirror.refs() == {"refs/heads/main": sha}
    moved = f"http://127.0.0.1:{place.port}/moved.git"
    assert (await mirror.remote_refs(moved)).refs == listed.refs
    with pytest.raises(GitError, match="redirects elsewhere, which is not followed"):
        await mirror.remote_refs(moved, here)
    with here.environment() as env, pytest.raises(GitError, match="not allowed"):
        await run("ls-remote", f"file://{origin.path}", env=env)
    await mirror.close()


async def test_bytes_that_do_not_have_their_id_are_not_believed(origin: Origin) -> None:
    sha = origin.commit()
    other = origin.commit("other")
    objects = origin.work / ".git/objects"
    target = objects / sha[:2] / sha[2:]
    target.chmod(0o644)
    target.write_bytes((objects / other[:2] / other[2:]).read_bytes())
    with pytest.raises(GitError, match="damaged"):
        await checkout.read_verified(origin.work / ".git", sha)
    with pytest.raises(NotFound):
        await checkout.read_verified(origin.work / ".git", "1" * 40)
    assert is_sha(other)


async def _post(served: Served, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """A POST of our own to upload-pack, in a thread."""

    def post() -> tuple[int, bytes]:
        parts = urlsplit(served.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            path = parts.path + checkout.FETCH_PATH
            connection.request("POST", path, body, {**checkout.FETCH_HEADERS, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    return await asyncio.to_thread(post)


async def _fetch(served: Served, wants: list[str], haves: list[str]) -> AsyncIterator[bytes]:
    _, data = await _post(served, checkout.fetch_request(wants, haves), {})
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]
