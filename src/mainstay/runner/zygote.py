"""The small process that job keepers are forked from, and the keeper itself. The runner's side is `keeper.py`.

Run as a script by `python -I -S`: it imports nothing of Mainstay and little else, so that it stays at a few MB and
forks in well under a millisecond. It has one thread only, which is what makes fork without exec safe here.

Messages are JSON behind a length of four bytes; descriptors travel with the first byte (SCM_RIGHTS).

    runner -> zygote   {"keeper": N, "join": [files]} + socket     zygote -> runner   {"keeper": N, "pid": P}
                       {"kill": P}                                                    {"keeper": N, "error": words}
                       {"settle": P}                                                  {"settled": P, "found": COUNT}
    runner -> keeper   {"run": {...}} + output                     keeper -> runner   {"exit": {...}}
                       {"terminate": SECONDS}                                         {"terminated": true}
                       {"end": true}                                                  {"ended": COUNT}
"""

import contextlib
import ctypes
import errno
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Container
from typing import Any, Final

PR_SET_NAME: Final = 15
PR_SET_CHILD_SUBREAPER: Final = 36
MARK_OOM: Final = 507
"""`oom_score_adj` of keepers and all job processes: when memory is short the kernel takes the largest of them before
anything else; and it is inherited past any change of environment or session, so a stray can be known as a job's."""
LINUX: Final = sys.platform == "linux"
"""Elsewhere there is no /proc: a step's process group is all that can be ended, and daemons escape."""
CLOEXEC: Final = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
"""Asked for by hand: `socket.recv_fds` does not pass its flags on."""
FDS: Final = 4
ROUNDS: Final = 8
"""Passes of stopping before a kill: a fork bomb with a limit on processes is frozen long before that."""

Message = dict[str, Any]


def prctl(option: int, value: int | bytes) -> None:
    """Linux only."""
    if LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def become_reaper() -> None:
    """Descendants that lose their parent fall to this process."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def encode(message: Message) -> bytes:
    """A message as it goes over a socket."""
    body = json.dumps(message).encode()
    return struct.pack("!I", len(body)) + body


class Port:
    """One end of a socket: whole messages, and the descriptors that came with them, in order."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fds: list[int] = []
        self._bytes = bytearray()

    def receive(self) -> list[Message] | None:
        """What has arrived, waiting for at least one byte. None: the other side is gone."""
        try:
            data, extra, _, _ = self.sock.recvmsg(1 << 18, socket.CMSG_SPACE(4 * FDS), CLOEXEC)
        except InterruptedError:
            return []
        except OSError:
            return None
        for level, kind, fds in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.fds += struct.unpack(f"{len(fds) // 4}i", fds[: len(fds) // 4 * 4])
        if not data:
            return None
        return self.take(data)

    def take(self, data: bytes) -> list[Message]:
        """The messages that are whole once `data` has come too."""
        self._bytes += data
        messages = []
        while len(self._bytes) >= 4:
            end = 4 + int(struct.unpack_from("!I", self._bytes)[0])
            if len(self._bytes) < end:
                break
            messages.append(json.loads(bytes(self._bytes[4:end])))
            del self._bytes[:end]
        return messages

    def send(self, message: Message) -> None:
        """Send it; a peer that is gone is noticed when reading."""
        with contextlib.suppress(OSError):
            self.sock.sendall(encode(message))


def stat_of(pid: int) -> tuple[str, int] | None:
    """State letter and parent of a process. None: it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read(1024).rpartition(b") ")[2].split(maxsplit=2)
    except OSError:
        return None
    return (fields[0].decode(), int(fields[1])) if len(fields) > 1 else None


def children(pid: int) -> list[int]:
    """Direct children, zombies too. Where the kernel has no children file, all of /proc is read."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                while block := file.read(1 << 16):
                    found += map(int, block.split())
        except FileNotFoundError:
            if os.path.exists(f"/proc/{pid}/task/{thread}/stat"):
                return [other for other in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent(other) == pid]
        except OSError:
            continue
    return found


def parent(pid: int) -> int:
    """Its parent, 0 when it is gone."""
    stat = stat_of(pid)
    return stat[1] if stat else 0


def descendants(pid: int, keep: Container[int] = (), stop: bool = False, known: Container[int] = ()) -> dict[int, int]:
    """Living processes below `pid` to their parents, without the subtrees in `keep`.

    `stop`: each that is not in `known` is stopped before its children are listed, so that it has no more of them.
    """
    found: dict[int, int] = {}
    todo = [pid] if LINUX else []
    while todo:
        above = todo.pop()
        for child in children(above):
            if child in keep or child in found:
                continue
            stat = stat_of(child)
            if stat and stat[0] not in "ZX":
                if stop and child not in known:
                    send_signal(child, above, signal.SIGSTOP)
                found[child] = above
                todo.append(child)
    return found


def send_signal(pid: int, above: int, number: int) -> None:
    """Signal `pid` if it still is the process that was found: its number may have been given to another one since."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if parent(pid) == above:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        pass
    finally:
        os.close(handle)


def kill_below(pid: int, keep: Container[int] = ()) -> set[int]:
    """One pass: stop everything below `pid` so that nothing forks away, then kill it. Who was found alive."""
    found: dict[int, int] = {}
    for _ in range(ROUNDS):
        again = descendants(pid, keep, stop=True, known=found)
        new = again.keys() - found.keys()
        found |= again
        if not new:
            break
    for one, above in found.items():
        send_signal(one, above, signal.SIGKILL)
    return set(found)


class Loop:
    """What zygote and keeper share: one socket to the runner, SIGCHLD as a wake-up, a clock for what is due."""

    def __init__(self, sock: socket.socket, name: bytes) -> None:
        sock.setblocking(True)
        self.port = Port(sock)
        self.gone = False
        """The runner is: end everything and exit."""
        become_reaper()
        prctl(PR_SET_NAME, name)
        self._wake, self._waking = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waking, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)

    def close(self) -> None:
        """In a forked child: this loop is the parent's."""
        signal.set_wakeup_fd(-1)
        os.close(self._wake)
        os.close(self._waking)
        self.port.sock.close()

    def wait(self, timeout_s: float | None) -> list[Message]:
        """The next messages; none when a child ended or the time is over."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self.gone:
            poll.register(self.port.sock, select.POLLIN)
        ready = dict(poll.poll(None if timeout_s is None else max(0, int(timeout_s * 1000) + 1)))
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        if self.gone or self.port.sock.fileno() not in ready:
            return []
        messages = self.port.receive()
        if messages is None:
            self.gone = True
            return []
        return messages


class Keeper:
    """Runs the steps of one job and ends what they leave. Lives in a process of its own, forked from the zygote."""

    def __init__(self, sock: socket.socket, join: list[str]) -> None:
        self.loop = Loop(sock, b"mainstay-keeper")
        # On itself, so that every step has it from its birth: the job's control group, the mark of its processes.
        write("/proc/self/oom_score_adj", str(MARK_OOM))
        for path in join:
            write(path, "0")
        self.step = 0
        self.guarded = False
        self.kill_at: float | None = None
        self.terminating = False
        self.ending = False
        self.found: set[int] = set()

    def main(self) -> None:
        """Until the runner asked for the end or is gone, and no descendant is left."""
        while True:
            alone = self.reap()
            if alone and self.terminating:
                self.terminating, self.kill_at = False, None
                self.loop.port.send({"terminated": True})
            if alone and (self.ending or self.loop.gone):
                self.loop.port.send({"ended": len(self.found)})
                return
            for message in self.loop.wait(self.due(alone)):
                self.obey(message)

    def due(self, alone: bool) -> float | None:
        """Kill what is to be killed now; seconds until there is something to do by the clock."""
        if alone:
            return None
        now = time.monotonic()
        if self.ending or self.loop.gone or (self.kill_at is not None and now >= self.kill_at):
            self.found |= kill_below(os.getpid())
            if not LINUX and self.step:
                os.killpg(self.step, signal.SIGKILL)
            return 0.02
        return None if self.kill_at is None else self.kill_at - now

    def reap(self) -> bool:
        """Take in ended children, report the step's end. Whether there is no descendant any more."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.step:
                self.step = 0
                self.report(os.waitstatus_to_exitcode(status), usage)

    def report(self, code: int, usage: resource.struct_rusage) -> None:
        """The step's own process has ended."""
        spent = {"cpu_s": usage.ru_utime + usage.ru_stime, "memory_bytes": usage.ru_maxrss * 1024}
        self.loop.port.send({"exit": {"signal": -code, **spent} if code < 0 else {"code": code, **spent}})

    def obey(self, message: Message) -> None:
        """One order of the runner."""
        if "run" in message:
            output = self.loop.port.fds.pop(0)
            order = message["run"]
            self.guarded = bool(order.get("guarded"))
            self.step, problem = spawn(order, output)
            os.close(output)
            if problem:
                self.loop.port.send({"exit": {"code": problem[0], "problem": problem[1]}})
        elif "terminate" in message:
            self.terminating = True
            self.kill_at = time.monotonic() + float(message["terminate"])
            if not LINUX and self.step:
                os.killpg(self.step, signal.SIGTERM)
            for pid, above in descendants(os.getpid()).items():
                if not (self.guarded and pid == self.step):
                    send_signal(pid, above, signal.SIGTERM)
                    send_signal(pid, above, signal.SIGCONT)
        elif "end" in message:
            self.ending = True


def spawn(order: Message, output: int) -> tuple[int, tuple[int, str] | None]:
    """Start a step in a session of its own. Its pid, or the exit code and words when it could not be started.

    By `subprocess` because that uses vfork: a third of the time of a fork of this process, small as it is. All other
    descriptors close by themselves at exec, and so do our signal handlers go: nothing is ignored but by default.
    """
    try:
        limit(order.get("rlimits", {}))
        process = subprocess.Popen(
            order["argv"],
            env=order["env"],
            cwd=order["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            close_fds=False,
            start_new_session=True,
            umask=0o022,
        )
    except OSError as error:
        doing = f"enter the folder {error.filename}" if error.filename == order["cwd"] else f"start {order['argv'][0]}"
        return 0, (127 if error.errno == errno.ENOENT else 126, f"could not {doing}: {error.strerror}")
    except (ValueError, subprocess.SubprocessError) as error:
        return 0, (126, f"could not start {order['argv'][0]}: {error}")
    process.returncode = 0  # it is waited for here, not by Popen
    return process.pid, None


def limit(rlimits: dict[str, int]) -> None:
    """Limits of the job, set on the keeper itself: its steps have them from their first instruction on."""
    for name, value in rlimits.items():
        kind = getattr(resource, "RLIMIT_" + name)
        top = resource.getrlimit(kind)[1]
        value = value if top == resource.RLIM_INFINITY else min(value, top)
        resource.setrlimit(kind, (value, value))


def write(path: str, text: str) -> bool:
    """To a file of the kernel's; whether it took it."""
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        return False
    return True


class Zygote:
    """Forks keepers; ends what a killed keeper leaves."""

    def __init__(self, sock: socket.socket) -> None:
        self.loop = Loop(sock, b"mainstay-zygote")
        self.keepers: set[int] = set()
        self.settling: list[int] = []
        self.found: set[int] = set()

    def main(self) -> None:
        """Until the runner is gone, every keeper has ended, and no orphan is left."""
        while True:
            alone = self.reap()
            busy = not alone and self.end_orphans()
            if not busy:
                self.settle()
            if alone and self.loop.gone:
                return
            for message in self.loop.wait(0.02 if busy else None):
                self.obey(message)

    def reap(self) -> bool:
        """Take in ended children. Whether there is none any more."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self.keepers.discard(pid)

    def end_orphans(self) -> bool:
        """Children that are no keepers lost theirs: kill them. Whether there were any."""
        me = os.getpid()
        if not set(children(me)) - self.keepers:
            return False
        self.found |= kill_below(me, self.keepers)
        return True

    def settle(self) -> None:
        """No orphan is left: say so for every keeper that was asked about and has ended."""
        for pid in [pid for pid in self.settling if pid not in self.keepers]:
            self.settling.remove(pid)
            self.loop.port.send({"settled": pid, "found": len(self.found)})
            self.found.clear()

    def obey(self, message: Message) -> None:
        """One order of the runner."""
        if "keeper" in message:
            sock = socket.socket(fileno=self.loop.port.fds.pop(0))
            self.fork(int(message["keeper"]), sock, message["join"])
            sock.close()
        elif "kill" in message and message["kill"] in self.keepers:
            os.kill(message["kill"], signal.SIGKILL)
        elif "settle" in message:
            self.settling.append(message["settle"])

    def fork(self, number: int, sock: socket.socket, join: list[str]) -> None:
        """A new keeper."""
        try:
            pid = os.fork()
        except OSError as error:
            self.loop.port.send({"keeper": number, "error": error.strerror})
            return
        if pid:
            self.keepers.add(pid)
            self.loop.port.send({"keeper": number, "pid": pid})
            return
        status = 1
        try:
            self.loop.close()
            Keeper(sock, join).main()
            status = 0
        finally:
            os._exit(status)


def unignore() -> None:
    """What the runner was started with (by a shell's `&`, by nohup) is nothing that its jobs are to ignore or block."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        # What Python itself ignores, `subprocess` sets back.
        if number not in (signal.SIGPIPE, signal.SIGXFSZ) and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main() -> None:
    """`python -I -S zygote.py FD`: FD is our end of the socket to the runner."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not ignored: that would be inherited
    unignore()
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    gc.disable()
    Zygote(sock).main()


if __name__ == "__main__":
    main()
