"""A table of leases as many programs have one: one row a lease, one commit for each operation, no history."""

import sqlite3
import time

LEASE_SECONDS = 60.0


class LeaseTable:
    def __init__(self, path: str):
        # With isolation_level None each statement is a transaction of its own: one commit for each operation.
        self.database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=FULL")

    def create_schema(self) -> None:
        self.database.execute("""CREATE TABLE leases (
                id TEXT PRIMARY KEY,
                state TEXT NOT NULL,
                payload TEXT NOT NULL,
                result TEXT,
                owner TEXT,
                epoch INTEGER NOT NULL DEFAULT 0,
                expires_at REAL,
                heartbeat_at REAL,
                created_at REAL NOT NULL,
                updated_at REAL NOT NULL
            )""")

    def create(self, lease_id: str) -> bool:
        now = time.time()
        return self._changes_one_row(
            "INSERT INTO leases (id, state, payload, created_at, updated_at) VALUES (?, 'pending', ?, ?, ?)",
            (lease_id, '{"work": 1}', now, now),
        )

    def acquire(self, lease_id: str, owner: str) -> int | None:
        """The epoch of the new lease, or None if somebody else holds it."""
        now = time.time()
        row = self.database.execute(
            """UPDATE leases
               SET state = 'running', owner = ?, epoch = epoch + 1,
                   expires_at = ?, heartbeat_at = ?, updated_at = ?
               WHERE id = ? AND (state = 'pending' OR (state = 'running' AND expires_at < ?))
               RETURNING epoch""",
            (owner, now + LEASE_SECONDS, now, now, lease_id, now),
        ).fetchall()
        return row[0][0] if row else None

    def heartbeat(self, lease_id: str, owner: str, epoch: int) -> float | None:
        """The time that the heartbeat stored, or None if the lease is no longer the owner's."""
        now = time.time()
        renewed = self._changes_one_row(
            """UPDATE leases SET heartbeat_at = ?, expires_at = ?, updated_at = ?
               WHERE id = ? AND owner = ? AND epoch = ? AND state = 'running'""",
            (now, now + LEASE_SECONDS, now, lease_id, owner, epoch),
        )
        return now if renewed else None

    def complete(self, lease_id: str, owner: str, epoch: int) -> bool:
        return self._changes_one_row(
            """UPDATE leases SET state = 'completed', result = ?, updated_at = ?
               WHERE id = ? AND owner = ? AND epoch = ? AND state = 'running'""",
            ('{"ok": true}', time.time(), lease_id, owner, epoch),
        )

    def insert_many(self, lease_ids: list[str], state: str, owner: str) -> None:
        """Adds leases before the measurement, in one transaction. They do not expire while it runs."""
        now = time.time()
        rows = [(lease_id, state, owner, now + 86_400, now, now, now) for lease_id in lease_ids]
        self.database.execute("BEGIN")
        self.database.executemany(
            """INSERT INTO leases
                   (id, state, payload, owner, epoch, expires_at, heartbeat_at, created_at, updated_at)
               VALUES (?, ?, '{"work": 1}', ?, 1, ?, ?, ?, ?)""",
            rows,
        )
        self.database.execute("COMMIT")

    def count(self, state: str) -> int:
        return self.database.execute("SELECT count(*) FROM leases WHERE state = ?", (state,)).fetchone()[0]

    def heartbeat_times(self) -> dict[str, float]:
        return dict(self.database.execute("SELECT id, heartbeat_at FROM leases"))

    def settings(self) -> dict[str, object]:
        return {
            name: self.database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        }

    def _changes_one_row(self, sql: str, values: tuple) -> bool:
        return self.database.execute(sql, values).rowcount == 1
