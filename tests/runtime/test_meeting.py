"""Processes that meet, as threads with real sockets."""

import concurrent.futures
import contextlib
import socket
import threading

import pytest

from cyclegan.errors import CycleganError
from cyclegan.runtime.meeting import meet


@pytest.fixture
def addresses():
    with contextlib.ExitStack() as servers:
        taken = [servers.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [server.getsockname()[1] for server in taken]
    return [f"127.0.0.1:{port}" for port in ports]


@contextlib.contextmanager
def listening(address):
    """A program that accepts calls, and says nothing."""
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        yield


def results(*calls):
    """What each call of `meet` raised, as text; empty if it returned."""

    def run(arguments):
        try:
            meet(*arguments)
        except CycleganError as error:
            return str(error)
        return ""

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def test_all_return_when_all_are_there(addresses):
    chief_is_there = threading.Event()

    def chief():
        meet(addresses, 0, 20)
        with listening(addresses[0]):  # as TensorFlow does then
            chief_is_there.wait(20)

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        done = thread.submit(chief)
        assert results((addresses, 1, 20), (addresses, 2, 20)) == ["", ""]
        chief_is_there.set()
        done.result()


def test_a_worker_that_is_missing_is_named_by_all(addresses):
    chief, worker = results((addresses, 0, 1), (addresses, 1, 1))
    assert chief.startswith(
        f"Not all workers were there after 1 s. Cannot be reached: worker 2 ({addresses[2]}). Start"
    )
    assert f"Cannot be reached: worker 0 ({addresses[0]})." in worker


def test_another_program_at_the_address_of_a_worker_is_not_taken_for_it(addresses):
    with listening(addresses[1]):
        (chief,) = results((addresses[:2], 0, 1))
    assert f"worker 1 ({addresses[1]})" in chief


def test_a_program_that_answers_something_else_is_named(addresses):
    with socket.create_server(("127.0.0.1", int(addresses[1].rpartition(":")[2]))) as server:
        server.settimeout(20)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(b"HTTP/1.0 400 Bad Request\n")

        threading.Thread(target=serve, daemon=True).start()
        (chief,) = results((addresses[:2], 0, 1))
    assert f"worker 1 ({addresses[1]}), where another program listens." in chief


def test_workers_with_another_list_are_named(addresses):
    first, second, third = addresses
    chief, worker = results(([first, second], 0, 2), ([third, second], 1, 2))
    assert f"worker 1 ({second}), which has another list." in chief
    assert f"Cannot be reached: worker 0 ({third})." in worker


@pytest.mark.parametrize("rank", [0, 1])
def test_a_port_that_is_taken_is_an_error_at_once(addresses, rank):
    with listening(addresses[rank]):
        (error,) = results((addresses, rank, 100))
    assert error == f"This worker cannot listen at {addresses[rank]}: Address already in use."
