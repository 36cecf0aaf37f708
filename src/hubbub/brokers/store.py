"""The engine whose histories survive: in one SQLite file, which one relay has open, and nobody else.

Acknowledged means committed, and subscribers see only what is committed. What one turn of the relay brings is one
transaction. Where channels stand is in memory as well; publications and idempotency keys are in the file alone.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from hubbub.brokers.contract import (
    NUMBERS_TTL,
    Check,
    History,
    Outgoing,
    Page,
    Position,
    Publication,
    Published,
)
from hubbub.brokers.log import KEY_TTL, Log, new_epoch
from hubbub.brokers.memory import Engine
from hubbub.errors import BrokerUnavailable
from hubbub.logs import logger

__all__ = ["SYNCHRONOUS", "SqliteEngine"]

FORMAT = 1
SYNCHRONOUS = ("full", "normal", "off")
REMEMBERED = 100_000  # channels whose standing is in memory at the most
EXPIRED_AT_ONCE = 256  # rows that are deleted at once
SOUND = (3, 51, 3)  # before it, two connections that write and checkpoint could lose pages: here is but one

TABLES = """
CREATE TABLE IF NOT EXISTS about (format INTEGER NOT NULL, boot TEXT NOT NULL, clean INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS channel (
    id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, epoch TEXT NOT NULL, top INTEGER NOT NULL,
    version TEXT NOT NULL, version_epoch TEXT NOT NULL, kept_until REAL NOT NULL, expires REAL NOT NULL);
CREATE INDEX IF NOT EXISTS channel_expires ON channel (expires);
CREATE TABLE IF NOT EXISTS publication (
    channel INTEGER NOT NULL, offset INTEGER NOT NULL, previous INTEGER NOT NULL, epoch TEXT NOT NULL, id BLOB NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (channel, offset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS idempotency (
    channel INTEGER NOT NULL, key TEXT NOT NULL, offset INTEGER NOT NULL, epoch TEXT NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (channel, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_until ON idempotency (until);
"""


class StoredLog(Log):
    """One channel in the file. What it changes is written by the engine, with all else of the turn."""

    __slots__ = ("_db", "keys", "number", "rows", "size")

    kept_until: float
    due: float

    def __init__(self, db: sqlite3.Connection, number: int, epoch: str, now: float) -> None:
        super().__init__(epoch, now)
        self.due = 0.0  # the file knows by itself
        self._db = db
        self.number: int = number
        self.size: int = 0  # of the history, by the latest publication
        self.rows: list[Publication] = []  # not written yet
        self.keys: dict[str, Published] = {}

    def _first(self, key: str, now: float) -> Published | None:
        if key in self.keys:
            return self.keys[key]
        found = self._db.execute(
            "SELECT offset, epoch FROM idempotency WHERE channel = ? AND key = ? AND until > ?", (self.number, key, now)
        ).fetchone()
        return None if found is None else Published(*found)

    def _remember(self, key: str, published: Published, now: float) -> None:
        self.keys[key] = published

    def _keep(self, publication: Publication, history: History | None, now: float) -> None:
        if history is None or self.kept_until <= now:
            self.rows.clear()
            self.size = 0
            self._db.execute("DELETE FROM publication WHERE channel = ?", (self.number,))
        if history is not None:
            self.rows.append(publication)
            self.size = history.size
            self.kept_until = now + history.ttl

    def page(self, since: Position | None, limit: int | None, reverse: bool, now: float) -> Page:
        known = since is None or (since.epoch == self.epoch and since.offset <= self.top)
        kept = self.kept_until > now
        after = since.offset if since is not None and known else (self.top + 1 if reverse else 0)
        compare, order = ("<", "DESC") if reverse else (">", "ASC")
        rows = self._db.execute(
            "SELECT offset, previous, epoch, id, body FROM publication WHERE channel = ? AND offset"  # noqa: S608
            f" {compare} ? ORDER BY offset {order} LIMIT ?",
            (self.number, after, -1 if limit is None else limit),
        )
        publications = [Publication(row[0], row[1], self.epoch, row[3], row[4]) for row in rows] if kept else []
        complete = known
        if not reverse and known and since is not None:
            first = self._db.execute("SELECT min(previous) FROM publication WHERE channel = ?", (self.number,))
            least = first.fetchone()[0] if kept else None
            complete = since.offset >= (self.top if least is None else least)
        return Page(publications, self.position, complete)

    def forget(self) -> None:
        self.rows.clear()
        with self._db:
            self._db.execute("DELETE FROM publication WHERE channel = ?", (self.number,))


class SqliteEngine(Engine):
    """Args:
        path: of the file, made if need be.
        synchronous: "full": what is acknowledged survives a loss of power. "normal": that the relay is killed; after a
            loss of power the last publications may be gone, and every channel has a new epoch. "off": as "normal", but
            such a loss may damage the file.

    Raises: sqlite3.Error: the file cannot be used.
    """

    def __init__(self, path: str, synchronous: str = "normal") -> None:
        super().__init__()
        self._path = path
        self._synchronous = synchronous
        self._stored: dict[bytes, StoredLog] = {}  # where channels stand
        self._db = db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {SYNCHRONOUS[SYNCHRONOUS.index(synchronous)]}")
        db.executescript(TABLES)
        boot = _boot()
        about = db.execute("SELECT format, boot, clean FROM about").fetchone()
        if about is None:
            db.execute("INSERT INTO about VALUES (?, ?, 0)", (FORMAT, boot))
            return
        if about[0] != FORMAT:
            raise sqlite3.DatabaseError(f"{path} is of format {about[0]}, and this version reads {FORMAT}")
        if about[1] != boot and not about[2] and synchronous != "full":
            # the machine stopped with the file open: offsets that were given may be given again
            db.execute("UPDATE channel SET epoch = ?", (new_epoch(),))
            logger.warning("%s was not closed before the machine stopped: its channels begin a new epoch", path)
        db.execute("UPDATE about SET boot = ?, clean = 0", (boot,))

    def close(self) -> None:
        self._db.execute("UPDATE about SET clean = 1")
        self._db.close()

    def now(self) -> float:
        return time.time()

    def append(self, batch: Sequence[Outgoing]) -> list[Published | Exception]:
        now, db = self.now(), self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            self._remember_no_more()
            self._expire(now)
            results, pending = self._order(batch, now)
            self._write({new.channel for new in batch}, now)
            db.execute("COMMIT")
        except Exception as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._stored.clear()  # they have gone on without the file
            logger.error("%d publications could not be kept: %s", len(batch), error)
            return [BrokerUnavailable(f"the file of the history cannot be written: {error}") for _ in batch]
        self._hand_over(pending)
        return results

    def _write(self, channels: set[bytes], now: float) -> None:
        rows: list[tuple[int, int, int, str, bytes, bytes]] = []
        keys: list[tuple[int, str, int, str, float]] = []
        stands: list[tuple[str, int, str, str, float, float, int]] = []
        trims: list[tuple[int, int]] = []
        for name in channels:
            log = self._stored[name]
            number = log.number
            if log.rows:
                kept = log.rows[-log.size :]
                rows += [(number, p.offset, p.previous, p.epoch, p.id, p.body) for p in kept]
                trims.append((number, log.top - log.size))
            keys += [(number, key, first.offset, first.epoch, now + KEY_TTL) for key, first in log.keys.items()]
            stands.append(
                (log.epoch, log.top, str(log.version), log.version_epoch, log.kept_until, log.lives_until, number)
            )
            log.rows.clear()
            log.keys.clear()
        db = self._db
        db.executemany("DELETE FROM publication WHERE channel = ? AND offset <= ?", trims)
        db.executemany("INSERT INTO publication VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.executemany("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?)", keys)
        db.executemany(
            "UPDATE channel SET epoch = ?, top = ?, version = ?, version_epoch = ?, kept_until = ?, expires = ?"
            " WHERE id = ?",
            stands,
        )

    def log(self, channel: bytes, now: float) -> StoredLog:
        log = self._find(channel)
        if log is None:
            epoch, lives_until = new_epoch(), now + NUMBERS_TTL
            made = self._db.execute(
                "INSERT INTO channel (name, epoch, top, version, version_epoch, kept_until, expires)"
                " VALUES (?, ?, 0, '0', '', 0, ?)",
                (channel, epoch, lives_until),
            )
            assert made.lastrowid is not None
            log = self._stored[channel] = StoredLog(self._db, made.lastrowid, epoch, now)
        return log

    def position(self, channel: bytes) -> Position | None:
        self._remember_no_more()
        log = self._find(channel)
        return None if log is None else log.position

    def page(self, channel: bytes, since: Position | None, limit: int | None, reverse: bool) -> Page:
        self._remember_no_more()
        return super().page(channel, since, limit, reverse)

    def _remember_no_more(self) -> None:
        """Never within a turn, whose logs have yet to be written."""
        if len(self._stored) >= REMEMBERED:
            self._stored.clear()

    def _find(self, channel: bytes) -> StoredLog | None:
        log = self._stored.get(channel)
        if log is not None:
            return log
        found = self._db.execute(
            "SELECT id, epoch, top, version, version_epoch, kept_until, expires FROM channel WHERE name = ?", (channel,)
        ).fetchone()
        if found is None or found[6] <= self.now():
            if found is not None:
                self._delete([found[0]])
            return None
        log = self._stored[channel] = StoredLog(self._db, found[0], found[1], self.now())
        log.top, log.version, log.version_epoch = found[2], int(found[3]), found[4]
        log.kept_until, log.lives_until = found[5], found[6]
        return log

    def _expire(self, now: float) -> None:
        db = self._db
        due = db.execute("SELECT id, name FROM channel WHERE expires <= ? LIMIT ?", (now, EXPIRED_AT_ONCE)).fetchall()
        for _, name in due:
            self._stored.pop(name, None)
        self._delete([number for number, _ in due])
        db.execute(
            "DELETE FROM idempotency WHERE (channel, key) IN"
            " (SELECT channel, key FROM idempotency WHERE until <= ? LIMIT ?)",
            (now, EXPIRED_AT_ONCE),
        )

    def _delete(self, numbers: Sequence[int]) -> None:
        rows = [(number,) for number in numbers]
        for statement in (
            "DELETE FROM publication WHERE channel = ?",
            "DELETE FROM idempotency WHERE channel = ?",
            "DELETE FROM channel WHERE id = ?",
        ):
            self._db.executemany(statement, rows)

    def check(self) -> list[Check]:
        advice = "" if sqlite3.sqlite_version_info >= SOUND else "nothing else may write to the file while hubbub does"
        return [
            Check("history", f"in {self._path}, synchronous {self._synchronous}"),
            Check("SQLite", sqlite3.sqlite_version, advice),
        ]


def _boot() -> str:
    """What is another one each time that the machine starts."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
