"""A network between runners and servers that can be cut and healed: a TCP relay in threads of the test."""

import contextlib
import selectors
import socket
import threading


class Network:
    """Relays one port to another until it is closed. While it is cut nothing gets through and nothing can connect."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._cut = False
        self._closed = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection in the middle of what it carries."""
        with self._lock:
            self._cut = True
            for end in tuple(self._open):
                _break(end)

    def heal(self) -> None:
        self._cut = False

    def close(self) -> None:
        self._closed = True
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                near.close()
                continue
            threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
        except OSError:
            near.close()
            return None
        pair = {near: far, far: near}
        with self._lock:
            self._open |= pair.keys()
        with contextlib.suppress(OSError), selectors.DefaultSelector() as ready:
            for end in pair:
                ready.register(end, selectors.EVENT_READ)
            while not self._cut:
                for key, _ in ready.select(timeout=0.2):
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    data = end.recv(65536)
                    if not data:
                        return self._end(pair)
                    pair[end].sendall(data)
        return self._end(pair)

    def _end(self, pair: dict[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._open -= pair.keys()
        for end in pair:
            end.close()


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
