# Cancel ends a planned task at once
create t1 undo=rm:x
-- row: cancel
-- row: end/cancelled
cancel t1 reason=obsolete → state compensated, cause cancelled, reason obsolete, owed 0, status 1 void, revision 3
show t1 → history created cancel_asked compensated

# Cancel ends a reserved task at once
create t1; dispatch t1 a
cancel t1 → state compensated, cause cancelled
acquire t1 a → refused terminal, unchanged

# A cancelled planned task that owes a compensation ends after recovery undoes it
create t1 on-lapse=hold undo=rm:x; acquire t1 a; release t1 a epoch=1
-- row: cancel/owed
cancel t1 reason=obsolete → state compensating, nobody, due +0s, owed 1, cancel asked
reclaim t1 rec → state compensating, holder rec, epoch 2
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled, reason obsolete

# The holder learns of a cancel from its next heartbeat and keeps its lease
create t1; acquire t1 a
heartbeat t1 a epoch=1 ttl=61s → cancel none
-- row: cancel/held
cancel t1 → state running, holder a, epoch 1, cancel asked
tick 10s
heartbeat t1 a epoch=1 → cancel asked, expires +60s

# A holder that was asked to stop may still complete
create t1; acquire t1 a; cancel t1
complete t1 a epoch=1 → state completed, cause completed

# A task that its holder rolls back after a cancel gets no new attempt
create t1 max-attempts=3; acquire t1 a; cancel t1 reason=obsolete
rollback t1 a epoch=1 reason=stopped → state compensated, cause cancelled, reason obsolete, attempts 1

# A task that is released after a cancel is not planned again
create t1 max-attempts=3; acquire t1 a; cancel t1
release t1 a epoch=1 → state compensated, cause cancelled, attempts 0

# A task that recovery undoes after a cancel gets no new attempt
create t1 max-attempts=3 undo=rm:x; acquire t1 a; cancel t1; rollback t1 a epoch=1; reclaim t1 rec
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled, nobody

# A cancelled task ends as compensated, even if when_spent is quarantined
create t1 when-spent=quarantined; acquire t1 a; cancel t1
rollback t1 a epoch=1 → state compensated, cause cancelled

# Recovery takes over a cancelled task that lapses, even under hold
create t1 on-lapse=hold undo=rm:x; acquire t1 a; cancel t1; tick 60s
acquire t1 b → refused wrong_state by a, unchanged
reclaim t1 rec → state compensating, holder rec, epoch 2, owed 1
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled

# Under quarantine, a cancelled task that lapses ends as compensated
create t1 on-lapse=quarantine; acquire t1 a; cancel t1; tick 60s
acquire t1 b → refused wrong_state by a, unchanged
reclaim t1 rec → state compensated, cause cancelled

# A task that is cancelled during its undo ends when the undo is done
create t1 max-attempts=3 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
cancel t1 → state compensating, nobody, due +0s, owed 1, cancel asked
reclaim t1 rec → cancel asked
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled

# A task that is cancelled after its release ends when the undo is done
create t1 undo=rm:x; acquire t1 a; release t1 a epoch=1; cancel t1
reclaim t1 rec; settle t1 rec epoch=2 seq=1
show t1 → state compensated, cause cancelled, attempts 0

# A second cancel does not change the reason of the first
create t1; acquire t1 a; cancel t1 reason=first; cancel t1 reason=second
rollback t1 a epoch=1 → cause cancelled, reason first

# The task counts how often a heartbeat tells its holder to stop
create t1 on-lapse=hold; acquire t1 a; heartbeat t1 a epoch=1 ttl=61s
show t1 → told 0
cancel t1; tick 5s
heartbeat t1 a epoch=1 → cancel asked
tick 5s
heartbeat t1 a epoch=1
show t1 → told 2

# Without cancel_grace, a holder can keep renewing its lease after a cancel
create t1; acquire t1 a; cancel t1; tick 50s; heartbeat t1 a epoch=1; tick 50s
heartbeat t1 a epoch=1 → expires +60s

# A holder that does not stop within cancel_grace can no longer renew its lease
create t1 cancel-grace=30s max-attempts=3; acquire t1 a ttl=20s; tick 10s; cancel t1 reason=obsolete
heartbeat t1 a epoch=1 → cancel asked, expires +20s
tick 15s
heartbeat t1 a epoch=1 → expires +15s
tick 10s
-- row: heartbeat/cancelled
heartbeat t1 a epoch=1 progress=1 → refused cancelled by a, unchanged
tick 5s
heartbeat t1 a epoch=1 → refused lease_lapsed
reclaim t1 rec → state compensated, cause cancelled, reason obsolete

# The cancel grace starts with the first renewal after the cancel, not with the cancel
create t1 cancel-grace=30s; acquire t1 a ttl=5m; cancel t1; tick 4m
heartbeat t1 a epoch=1 ttl=5m → refused cancelled by a, unchanged
tick 50s
heartbeat t1 a epoch=1 ttl=5m → expires +30s, cancel asked

# The cancel grace does not limit the lease of an undo
create t1 cancel-grace=10s undo=rm:x; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec; cancel t1; tick 20s; heartbeat t1 rec epoch=2; tick 20s
heartbeat t1 rec epoch=2 → expires +60s
