"""A tenant that works normally during an attack, in a process of its own. It reports latencies, and any error."""

import multiprocessing
import time
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import Any

from tests.contract.peer import Peer

HELLO_EVERY = 5
PAUSE_SECONDS = 0.03


@dataclass
class Latencies:
    """Seconds that pushes and hellos took."""

    pushes: list[float] = field(default_factory=list)
    hellos: list[float] = field(default_factory=list)


def worst_ratio(values: list[float], share: float) -> float:
    """Return the value that this share of all values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Bystander:
    """Runs until `stop()`; `mark()` separates the idle time from the attack."""

    def __init__(self, port: int, device: str, token: str, state: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self._attacked, self._stop = context.Event(), context.Event()
        self._out = context.Queue()
        self._process = context.Process(
            target=_work, args=(port, device, token, state, self._attacked, self._stop, self._out), daemon=True
        )
        self._process.start()

    def mark(self) -> None:
        """From now on the server is under attack."""
        self._attacked.set()

    def stop(self) -> tuple[Latencies, Latencies, str]:
        """Return the latencies when idle and under attack, and what went wrong."""
        self._stop.set()
        try:
            return self._out.get(timeout=90)
        finally:
            self._process.join(10)
            if self._process.is_alive():
                self._process.terminate()


def _work(port: int, device: str, token: str, state: dict[str, Any], attacked: Event, stop: Event, out: Any) -> None:
    idle, busy, problem = Latencies(), Latencies(), ""
    try:
        peer = _connected(port, device, token, state, idle)
        number = 0
        while not stop.is_set():
            into = busy if attacked.is_set() else idle
            began = time.perf_counter()
            number += 1
            (result,) = peer.push(peer.op("jobs", f"mine-{number}", "insert", {"title": "t"}))
            into.pushes.append(time.perf_counter() - began)
            if result["status"] != "applied":
                raise AssertionError(f"a push of the bystander got {result}")
            if number % HELLO_EVERY == 0:
                state, op_id = peer.state(), peer.op_id
                peer.socket.close()
                peer = _connected(port, device, token, state, into)
                peer.op_id = op_id
            time.sleep(PAUSE_SECONDS)
        peer.socket.close()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"[:1000]
    out.put((idle, busy, problem))


def _connected(port: int, device: str, token: str, state: dict[str, Any], into: Latencies) -> Peer:
    peer = Peer(port, device, token)
    peer.cursor, peer.schema_version = state["cursor"], state["schema_version"]
    peer.state_hash = bytes.fromhex(state["state_hash"])
    began = time.perf_counter()
    peer.hello()
    into.hellos.append(time.perf_counter() - began)
    peer.send({"type": "subscribe", **peer.state()})
    peer.until("live")
    return peer
