# A task that nobody has begun is closed at once
create t1 undo=rm:x
-- row: cancel
-- row: end/cancelled
cancel t1 reason=obsolete → state compensated, cause cancelled, reason obsolete, owed 0, status 1 void, revision 3
show t1 → history created cancel_asked compensated

# A reservation does not keep a task from being cancelled
create t1; dispatch t1 a
cancel t1 → state compensated, cause cancelled
acquire t1 a → refused terminal, unchanged

# What a released attempt left is undone before the task is closed
create t1 on-lapse=hold undo=rm:x; acquire t1 a; release t1 a epoch=1
-- row: cancel/owed
cancel t1 reason=obsolete → state compensating, nobody, due +0s, owed 1, cancel asked
reclaim t1 rec → state compensating, holder rec, epoch 2
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled, reason obsolete

# The holder hears of it with its next heartbeat, and keeps its lease
create t1; acquire t1 a
heartbeat t1 a epoch=1 ttl=61s → cancel none
-- row: cancel/held
cancel t1 → state running, holder a, epoch 1, cancel asked
tick 10s
heartbeat t1 a epoch=1 → cancel asked, expires +60s

# A holder that was asked to stop may still complete
create t1; acquire t1 a; cancel t1
complete t1 a epoch=1 → state completed, cause completed

# What is rolled back after a cancel is not tried again
create t1 max-attempts=3; acquire t1 a; cancel t1 reason=obsolete
rollback t1 a epoch=1 reason=stopped → state compensated, cause cancelled, reason obsolete, attempts 1

# What is given back after a cancel is not planned again
create t1 max-attempts=3; acquire t1 a; cancel t1
release t1 a epoch=1 → state compensated, cause cancelled, attempts 0

# What is undone after a cancel is not tried again
create t1 max-attempts=3 undo=rm:x; acquire t1 a; cancel t1; rollback t1 a epoch=1; reclaim t1 rec
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled, nobody

# Cancel is not parked for a person, whatever the policy says of spent attempts
create t1 when-spent=quarantined; acquire t1 a; cancel t1
rollback t1 a epoch=1 → state compensated, cause cancelled

# A lapse after a cancel is recovered under hold, too
create t1 on-lapse=hold undo=rm:x; acquire t1 a; cancel t1; tick 60s
acquire t1 b → refused wrong_state by a, unchanged
reclaim t1 rec → state compensating, holder rec, epoch 2, owed 1
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled

# A lapse after a cancel is not parked
create t1 on-lapse=quarantine; acquire t1 a; cancel t1; tick 60s
acquire t1 b → refused wrong_state by a, unchanged
reclaim t1 rec → state compensated, cause cancelled

# A task that is being undone is closed when the undo is done
create t1 max-attempts=3 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
cancel t1 → state compensating, nobody, due +0s, owed 1, cancel asked
reclaim t1 rec → cancel asked
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled

# A released task that waits for its undo is closed when the undo is done
create t1 undo=rm:x; acquire t1 a; release t1 a epoch=1; cancel t1
reclaim t1 rec; settle t1 rec epoch=2 seq=1
show t1 → state compensated, cause cancelled, attempts 0

# The first one who asked is the one who is named
create t1; acquire t1 a; cancel t1 reason=first; cancel t1 reason=second
rollback t1 a epoch=1 → cause cancelled, reason first

# It is remembered how often a holder was told, and a successor begins anew
create t1 on-lapse=hold; acquire t1 a; heartbeat t1 a epoch=1 ttl=61s
show t1 → told 0
cancel t1; tick 5s
heartbeat t1 a epoch=1 → cancel asked
tick 5s
heartbeat t1 a epoch=1
show t1 → told 2

# Without a grace a lease is renewed for as long as its holder likes
create t1; acquire t1 a; cancel t1; tick 50s; heartbeat t1 a epoch=1; tick 50s
heartbeat t1 a epoch=1 → expires +60s

# A holder that does not stop within the grace can't renew any more
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

# The grace begins when the holder hears of it, not when somebody asks
create t1 cancel-grace=30s; acquire t1 a ttl=5m; cancel t1; tick 4m
heartbeat t1 a epoch=1 ttl=5m → refused cancelled by a, unchanged
tick 50s
heartbeat t1 a epoch=1 ttl=5m → expires +30s, cancel asked

# What is undone is not hurried
create t1 cancel-grace=10s undo=rm:x; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec; cancel t1; tick 20s; heartbeat t1 rec epoch=2; tick 20s
heartbeat t1 rec epoch=2 → expires +60s
