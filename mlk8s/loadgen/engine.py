"""The open loop: sends every request when it is due, whatever became of those before it.

A request is timed from the moment at which it should have been sent, so that one that had to wait, for a
connection or for a generator that fell behind, has that wait in its latency. This is what Gil Tene calls
being free of coordinated omission ("How NOT to Measure Latency"). How late requests were sent is recorded
beside it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import Callable
from time import perf_counter_ns, time

import numpy as np

from mlk8s.loadgen.answer import classify
from mlk8s.loadgen.arrivals import Arrivals, Profile
from mlk8s.loadgen.bound import Bound
from mlk8s.loadgen.connection import Answer, Connection
from mlk8s.loadgen.recorder import Key, Recorder
from mlk8s.loadgen.samples import Samples
from mlk8s.loadgen.timer import Timer

_SECOND = 1_000_000_000
_SWEEP = 0.05
"""Seconds between two looks for requests whose time is up."""
_AHEAD = 0.15
"""Seconds ahead of which due times are known: those of a whole second at once would be a pause."""
_BUSY, _NAP = 10_000, 0.01
"""Records a second from which on due times are learnt, or records counted, every _NAP seconds."""
_BURST = 32
"""Requests sent in one turn of the loop; after them the answers are looked at."""
_MANY, _GATHER, _TOGETHER = 5, 400_000, 8
"""Where _MANY requests are due within _GATHER nanoseconds (10,000 requests/s), up to _TOGETHER of them leave
at once when the last is due, the first no later than _GATHER: to wake a process costs more than to send a
request. Fewer are each sent when they are due."""
_MOST_KNOWN = 4096
"""Answers that are remembered byte for byte."""


class Engine:
    """Sends one profile to one address and records what came of it.

    Args:
        address: (host, port) to connect to.
        request: a whole HTTP/1.1 request.
        profile, arrivals: the rate, and this worker's due times.
        recorder: gets every request; its first second is `start`.
        samples: gets some answers to look at later.
        rows: batch size that a right answer has; None: not checked.
        start: second since the epoch at which the profile begins.
        timeout: seconds from its due time in which a request must be answered.
        connections: most connections at once. Of a closed loop, the users are the connections.
        share: of a closed loop's users that are this worker's: (i, n).
        tls: context and host name, or None for plain HTTP.
        stop_above: share of failed requests in ten seconds at which the test stops itself; 1 never does.
        alive: asked once a second; when it says no, the engine stops.
    """

    def __init__(
        self, address: tuple[str, int], request: bytes, profile: Profile, arrivals: Arrivals,
        recorder: Recorder, samples: Samples, *, rows: int | None, start: int, timeout: float,
        connections: int, share: tuple[int, int] = (0, 1), tls: tuple[ssl.SSLContext, str] | None = None,
        stop_above: float = 1.0, alive: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self.request = request
        self.recorder = recorder
        self.known: dict[bytes, Key] = {}
        self._address, self._tls = address, tls
        self._profile, self._arrivals, self._share = profile, arrivals, share
        self._samples, self._rows = samples, rows
        self._start, self._limit, self._alive = start, connections, alive
        self._timeout = int(timeout * _SECOND)
        self._bound = Bound(stop_above)
        self._due: list[int] = []
        """Due times that are known, of which those from `_next` on are still to be sent."""
        self._next = 0
        self._offered: Counter[int] = Counter()
        self._waiting: deque[int] = deque()
        """Requests that are due and have no connection."""
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._sent = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopped: str | None = None
        """Why the engine stopped itself, or None."""

    async def run(self) -> None:
        """Run the profile from its start to the last answer, or until `stop`."""
        self._loop = asyncio.get_running_loop()
        # The profile's zero on the clock that requests are timed with.
        self._zero = perf_counter_ns() + int((self._start - time()) * _SECOND)
        self._end = self._zero + int(self._profile.duration * _SECOND)
        self._timer = Timer(self._loop, self._pump)
        tasks = [asyncio.create_task(self._sweep()), asyncio.create_task(self._keep())]
        try:
            await self._seconds()
        finally:
            for task in tasks:
                task.cancel()
            self._timer.close()
            self._roll(int(time()) + 1)  # what is in flight now was cut off: it is told, and is no failure
            for connection in list(self._open):
                connection.due = 0
                connection.transport.abort()

    def stop(self, why: str | None = None) -> None:
        """Send nothing more; what is in flight is left to its end."""
        self.stopped = self.stopped or why
        self._due, self._next, self._end = [], 0, 0
        self._waiting.clear()

    # Sending: nothing here may wait.

    def _pump(self) -> None:
        """Send what is due, and set the timer to what is due next."""
        dues, place, idle = self._due, self._next, self._idle
        last = min(place + _BURST, len(dues))
        late = self.recorder.lag.add
        now = perf_counter_ns()
        while place < last and (due := dues[place]) <= now:
            place += 1
            late(now - due)
            if idle:
                self._sent += 1
                idle.pop().send(due)
            else:
                self._waiting.append(due)
                self._connect()
            now = perf_counter_ns()
        self._next = place
        if place < len(dues):  # past a burst as soon as the answers that have come are read
            self._timer.at(self.wake(place) if dues[place] > now else now)

    def wake(self, place: int) -> int:
        """Return when to send the request `place` of those whose due times are known: never before it is
        due."""
        due, many, last = self._due[place], place + _MANY - 1, place + _TOGETHER - 1
        if many >= len(self._due) or self._due[many] > due + _GATHER:
            return due
        return min(due + _GATHER, self._due[last]) if last < len(self._due) else due + _GATHER

    def free(self, connection: Connection, now: int) -> None:
        """Give a connection that has its answer the next request, if there is one for it."""
        if self._profile.closed_loop:
            if now < self._end and len(self._open) <= self._users():
                self._sent += 1
                connection.send(now)
            else:
                self._idle.append(connection)
                connection.transport.close()
            return
        if self._waiting:
            self._sent += 1
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _connect(self) -> None:
        if len(self._open) + self._opening < self._limit:
            self._opening += 1
            task = self._loop.create_task(self._dial())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _dial(self) -> None:
        context, name = self._tls or (None, None)
        began = perf_counter_ns()
        try:
            async with asyncio.timeout(self._timeout / _SECOND):
                await self._loop.create_connection(
                    lambda: Connection(self), *self._address, ssl=context, server_hostname=name
                )
        except OSError as error:  # TimeoutError and SSLError are OSErrors
            outcome = "timeout" if isinstance(error, TimeoutError) else "connection"
            now = perf_counter_ns()
            if self._waiting:  # the request that this connection was opened for
                self.recorder.open((outcome, 0, "")).add(now - self._waiting.popleft())
            elif self._profile.closed_loop:
                self._sent += 1
                self.recorder.open((outcome, 0, "")).add(now - began)
        finally:
            self._opening -= 1

    def opened(self, connection: Connection) -> None:
        """Take a connection that is open now."""
        self._open.add(connection)
        self.free(connection, perf_counter_ns())

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is closed; a request that waits gets another one."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._connect()
        elif connection.answered:  # a user on whom the server hung up comes back with the next sweep
            self._staff()

    # Answers.

    def judge(self, answer: Answer) -> Key:
        """Return under which key an answer is counted, and keep some to look at."""
        body = b"".join(answer.body)
        outcome = classify(answer.status, body, self._rows)
        self._samples.take(outcome, answer.status, answer.headers, body)
        return outcome, answer.status, answer.version

    def remember(self, data: bytes, key: Key) -> None:
        """Know an answer again that comes with the same bytes."""
        if len(self.known) >= _MOST_KNOWN:
            self.known.clear()
        self.known[data] = key

    # Once in a while.

    async def _seconds(self) -> None:
        """Write each second when it is over, until the profile is over and every request has ended."""
        while True:
            now = time()
            await asyncio.sleep(int(now) + 1.001 - now)
            second = int(time())
            self._refill()
            self._roll(second)
            if not self._alive():
                return
            over = perf_counter_ns() >= self._end and self._next >= len(self._due)
            if over and not self._busy() and not self._waiting and not self._opening:
                return

    def _roll(self, second: int) -> None:
        """End the recorder's seconds before `second`; more than one where the loop was held up."""
        while self.recorder.second < second:  # none where a timer is early, or the test not begun
            done = {key: latencies.count for key, latencies in self.recorder.series.items()}
            if why := self._bound.broken(done):
                self.stop(why)
            offered = self._offered.pop(self.recorder.second - self._start, 0)
            load = {
                "users": len(self._open), "offered": None if self._profile.closed_loop else offered,
                "sent": self._sent, "in_flight": self._busy(), "waiting": len(self._waiting),
            }  # fmt: skip
            self._sent = 0
            try:
                self.recorder.end_second(**load)
            except OSError:
                pass  # the disk is full: they wait in memory, and the parent process has seen it, too

    def _busy(self) -> int:
        return len(self._open) - len(self._idle)

    def _refill(self) -> None:
        """Learn the due times of what comes next."""
        if not self._end or self._profile.closed_loop:
            return
        ahead = (perf_counter_ns() - self._zero) / _SECOND + _AHEAD
        new = self._arrivals.before(min(ahead, self._profile.duration))
        whole, counts = np.unique(new.astype(np.int64), return_counts=True)
        self._offered.update(dict(zip(whole.tolist(), counts.tolist(), strict=True)))
        self._due = self._due[self._next :] + (self._zero + (new * _SECOND).astype(np.int64)).tolist()
        self._next = 0
        if self._due:
            self._timer.at(self.wake(0))

    def _users(self) -> int:
        first, step = self._share
        users = self._profile.users_at((perf_counter_ns() - self._zero) / _SECOND)
        return len(range(first, users, step))

    def _staff(self) -> None:
        """Open connections of a closed loop until there are as many as users."""
        if self._profile.closed_loop and self._zero <= perf_counter_ns() < self._end:
            for _ in range(self._users() - len(self._open) - self._opening):
                self._connect()

    async def _keep(self) -> None:
        """Learn what is due next and count what was recorded, in turns: often where there is much of it."""
        nap = _SWEEP / 2
        while True:
            self._refill()
            await asyncio.sleep(nap)
            nap = _NAP if self.recorder.fold() > _BUSY * 2 * nap else _SWEEP / 2
            await asyncio.sleep(nap)

    async def _sweep(self) -> None:
        """End requests whose time is up, and bring the users of a closed loop to their number."""
        while True:
            self._staff()
            await asyncio.sleep(_SWEEP)
            late = perf_counter_ns() - self._timeout
            while self._waiting and self._waiting[0] < late:
                self.recorder.open(("shed", 0, "")).add(perf_counter_ns() - self._waiting.popleft())
            for connection in list(self._open):
                if connection.due and connection.due < late:
                    connection.give_up("timeout")
