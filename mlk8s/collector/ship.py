"""Rounds: look which files there are, ship what is due, write down how far it is."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

from mlk8s.collector.config import CollectorConfig
from mlk8s.collector.files import LogFile, Source, log_files, sources
from mlk8s.storage.failures import ObjectNotFound
from mlk8s.storage.log_lines import Chunk, encode
from mlk8s.storage.store import Store


@dataclass
class Counters:
    """What was done since the start; `rounded` is the time of the last round that ended well."""

    lines: int = 0
    bytes: int = 0
    objects: int = 0
    errors: int = 0
    files: int = 0
    rounded: float = 0.0


class Shipper:
    """One node's files and how far each is shipped.

    The checkpoint is written after the objects. After a crash the same lines go to the same keys: an object
    starts where the checkpoint says, and holds at least what the one before it held, because files only grow.
    """

    def __init__(self, config: CollectorConfig, store: Store) -> None:
        self.counters = Counters()
        self._config, self._store = config, store
        self._state = f"state/{config.node}.json"
        self._files: dict[tuple[int, int], LogFile] = {}
        self._looking = threading.Lock()
        self._shipped: dict[str, int] = self._checkpoint()
        self._saved = dict(self._shipped)

    def round(self, now: float, *, everything: bool = False) -> None:
        """Ship what has waited long enough, or fills a chunk, or is about to go.

        Args:
            now: a monotonic time, seconds.
            everything: ship all there is, because the collector ends.

        Raises:
            StorageError: object storage refused, or did not answer; the next round goes on from here.
        """
        self.look()
        try:
            for key, file in self._now():
                gone = file.gone
                self._ship(file, now, gone, everything)
                if gone:
                    self._files.pop(key).close()
        finally:
            self._save()
        self.counters.files = len(self._files)
        self.counters.rounded = now

    def close(self) -> None:
        """Close every file."""
        for _, file in self._now():
            file.close()
        self._files.clear()

    def _checkpoint(self) -> dict[str, int]:
        try:
            return {str(name): int(end) for name, end in json.loads(self._store.get(self._state)).items()}
        except (ObjectNotFound, ValueError, AttributeError):
            return {}

    def look(self) -> None:
        """Open files that are new; one that was rotated meanwhile is known by its inode.

        What is open can be read to its end, even if it is removed before its turn. Any thread may call it.
        """
        for source, directory in sources(self._config.root):
            if self._config.wants(source.namespace):
                self._open(source, directory)

    def _open(self, source: Source, directory: Path) -> None:
        with self._looking:
            for entry in log_files(directory):
                try:
                    facts = entry.stat()
                    if (facts.st_dev, facts.st_ino) not in self._files:
                        self._files[facts.st_dev, facts.st_ino] = LogFile(source, Path(entry.path))
                except FileNotFoundError:
                    continue

    def _now(self) -> list[tuple[tuple[int, int], LogFile]]:
        with self._looking:
            return list(self._files.items())

    def _ship(self, file: LogFile, now: float, gone: bool, everything: bool) -> None:
        name = file.name
        if name is None:
            return
        start = self._shipped.setdefault(name, 0)
        waits = file.size - start
        if waits <= 0:
            file.waiting_since = None
            return
        if file.waiting_since is None:
            file.waiting_since = now
        due = (
            gone
            or everything
            or waits >= self._config.chunk
            or now - file.waiting_since >= self._config.flush
        )
        while due and start < file.size:
            lines = file.read(start, self._config.chunk, gone)
            if lines is None:
                break
            source, first = file.source, lines.records[0]
            chunk = Chunk(source.namespace, source.pod, source.container, name, first.time, start)
            data = encode(lines.records)
            self._store.put(chunk.key, data)
            self._shipped[name] = start = lines.end
            self.counters.lines += len(lines.records)
            self.counters.bytes += len(data)
            self.counters.objects += 1
        if due:
            file.waiting_since = None

    def _save(self) -> None:
        """Write the checkpoint where it has changed; files that are no more are left out of it."""
        names = {file.name for _, file in self._now()}
        self._shipped = {name: end for name, end in self._shipped.items() if name in names}
        if self._shipped != self._saved:
            self._store.put(self._state, json.dumps(self._shipped).encode())
            self._saved = dict(self._shipped)
