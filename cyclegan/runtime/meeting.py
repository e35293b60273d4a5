"""How processes find each other before TensorFlow waits for them, which nothing can interrupt.

Worker 0 calls each of the others at its address, and says which list of addresses it has. When all have answered, it
tells them to begin. Nothing else is sent, and every wait has an end.
"""

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Iterator, Sequence

from cyclegan.errors import CycleganError

_HERE, _OTHER, _BEGIN = b"here\n", b"another list\n", b"begin\n"
_PAUSE = 0.2
_ANSWER_SECONDS = 2.0


def meet(addresses: Sequence[str], rank: int, seconds: float) -> None:
    """Returns when all processes are there, with the same list of addresses.

    Args:
        addresses: the address of each process, in the order of their ranks.
        rank: the number of this process.
        seconds: how long to wait for the others.

    Raises:
        CycleganError: if that takes longer, or if this process cannot listen at its address.
    """
    end = time.monotonic() + seconds
    if rank == 0:
        with _listening(addresses[0]):
            pass  # TensorFlow would only say that its server cannot start
        missing = _call_all(addresses, end)
    else:
        missing = _wait_to_begin(addresses, rank, end)
    if missing:
        raise CycleganError(
            f"Not all workers were there after {seconds:.0f} s. Cannot be reached: {missing}. Start all"
            f" {len(addresses)} workers with the same list of addresses; worker 0 waits for all others."
        )


def _call_all(addresses: Sequence[str], end: float) -> str:
    """Tells all workers to begin, and returns an empty text; or which of them are missing, and why."""
    why: dict[int, str] = {}
    answered: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as calls:
        while missing := [rank for rank in range(1, len(addresses)) if rank not in answered]:
            if time.monotonic() > end:
                return ", ".join(f"worker {rank} ({addresses[rank]}){why.get(rank, '')}" for rank in missing)
            for rank in missing:
                with contextlib.suppress(OSError):
                    connection = calls.enter_context(socket.create_connection(_place(addresses[rank]), _ANSWER_SECONDS))
                    connection.sendall(_greeting(addresses, rank))
                    answer = _line(connection)
                    if answer == _HERE:
                        answered[rank] = connection
                    else:
                        is_other = answer == _OTHER
                        why[rank] = ", which has another list" if is_other else ", where another program listens"
            time.sleep(_PAUSE)
        for connection in answered.values():
            connection.sendall(_BEGIN)
    return ""


def _wait_to_begin(addresses: Sequence[str], rank: int, end: float) -> str:
    """Waits until worker 0 says so, and listens where TensorFlow will, and returns an empty text; or who is missing."""
    with _listening(addresses[rank]) as server:
        while not _has_begun(server, _greeting(addresses, rank), end):
            if time.monotonic() > end:
                return f"worker 0 ({addresses[0]})"
    while time.monotonic() < end + _ANSWER_SECONDS:
        with contextlib.suppress(OSError), socket.create_connection(_place(addresses[0]), _ANSWER_SECONDS):
            return ""
        time.sleep(_PAUSE)
    return f"worker 0 ({addresses[0]})"


def _has_begun(server: socket.socket, greeting: bytes, end: float) -> bool:
    """Answers one call, if one comes soon. Whether it was that of worker 0, and it has said that all begin."""
    server.settimeout(_PAUSE)
    with contextlib.suppress(OSError):
        connection, _ = server.accept()
        with connection:
            connection.settimeout(_ANSWER_SECONDS)
            if _line(connection) != greeting:
                connection.sendall(_OTHER)
                return False
            connection.sendall(_HERE)
            while time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    # The caller closes first, so that this port is free for TensorFlow at once.
                    return _line(connection) == _BEGIN and connection.recv(1) == b""
    return False


def _greeting(addresses: Sequence[str], rank: int) -> bytes:
    digest = hashlib.sha256(",".join(addresses).encode()).hexdigest()
    return f"cyclegan {rank} {digest}\n".encode()


def _line(connection: socket.socket) -> bytes:
    """The next line, of at most 200 bytes."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 200 and (byte := connection.recv(1)):
        line += byte
    return line


@contextlib.contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    port = _place(address)[1]
    try:
        if socket.has_dualstack_ipv6():
            server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            server = socket.create_server(("", port))
    except OSError as error:
        # Python adds the address to the text of the error.
        raise CycleganError(f"This worker cannot listen at {address}: {os.strerror(error.errno or 0)}.") from error
    with server:
        yield server


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
