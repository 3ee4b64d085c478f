# Recovery takes over a lapsed task under its own lease
create t1 undo=rm:x; acquire t1 a; tick 60s
-- row: reclaim
reclaim t1 rec → state compensating, holder rec, epoch 2, attempts 1, owed 1, owes 1 1, key 1 default/t1/1/1, expires +60s, revision 3
show t1 → history created acquired reclaimed

# Live work is never reclaimed
create t1; acquire t1 a; tick 30s; heartbeat t1 a epoch=1; tick 59999ms
-- row: reclaim/leased
reclaim t1 rec → refused leased by a, unchanged
tick 1ms
reclaim t1 rec → state compensated, cause lapsed

# A reclaim of a lapsed task that owes nothing ends it at once
create t1; acquire t1 a; tick 60s
-- row: reclaim/nothing_owed
reclaim t1 rec → state compensated, cause lapsed, nobody, epoch 1, attempts 1, owed 0, revision 4
show t1 → history created acquired lapsed compensated

# A lapsed task that owes nothing is planned again while attempts are left
create t1 max-attempts=2; acquire t1 a; tick 60s
reclaim t1 rec → state planned, nobody, not-before +1s, attempts 1
tick 1s; acquire t1 b; tick 60s
reclaim t1 rec → state compensated, cause lapsed, attempts 2

# An undone task is planned again after the backoff while attempts are left
create t1 max-attempts=2 backoff=10s,2,5m undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec
settle t1 rec epoch=2 seq=1 → state planned, nobody, not-before +10s, attempts 1, status 1 standing
acquire t1 b → refused not_due, unchanged
tick 10s
acquire t1 b → epoch 3, attempts 2, owed 1

# The backoff doubles with each attempt, up to its cap
create t1 max-attempts=9 backoff=4s,2,10s; acquire t1 a; tick 60s
reclaim t1 rec → not-before +4s
tick 4s; acquire t1 a; tick 60s
reclaim t1 rec → not-before +8s
tick 8s; acquire t1 a; tick 60s
reclaim t1 rec → not-before +10s

# A task that is planned again keeps its not-before time if the backoff ends earlier
create t1 on-lapse=hold max-attempts=2 not-before=+1h; dispatch t1 a; acquire t1 a; tick 60s
release t1 a epoch=1 → state planned, attempts 1, not-before +3540s

# A grant to recovery does not count as an attempt
create t1 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec; tick 60s
reclaim t1 rec2 → epoch 3, attempts 1

# Under hold recovery leaves a lapsed task alone
create t1 on-lapse=hold undo=rm:x; acquire t1 a; tick 60s
-- row: reclaim/hold
reclaim t1 rec → refused wrong_state by a, unchanged
acquire t1 b → holder b, epoch 2

# Under quarantine, recovery quarantines a lapsed task, and owed compensations stay owed
create t1 on-lapse=quarantine max-attempts=3 undo=rm:x; acquire t1 a; tick 60s
-- row: reclaim/quarantine
reclaim t1 rec → state quarantined, cause lapsed, nobody, epoch 1, owed 1, status 1 owed, revision 3

# Recovery can't reclaim a lapsed task during its lock delay
create t1 lock-delay=5s undo=rm:x; acquire t1 a; tick 60s
-- row: reclaim/lock_delay
reclaim t1 rec → refused not_due by a, unchanged
tick 4999ms
reclaim t1 rec → refused not_due by a, unchanged
tick 1ms
reclaim t1 rec → state compensating, holder rec

# Recovery takes over an undo without a holder when it is due
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
-- row: reclaim/undo
reclaim t1 rec → state compensating, holder rec, epoch 2, expires +60s

# Recovery can't take over a released undo before it is due
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec; release t1 rec epoch=2 delay=10s; tick 9999ms
-- row: reclaim/undo_not_due
reclaim t1 rec2 → refused not_due, unchanged
tick 1ms
reclaim t1 rec2 → holder rec2, epoch 3

# If recovery's lease lapses, another recovery takes over and continues the undo
create t1 undo=rm:x undo=close:y; acquire t1 a; tick 60s; reclaim t1 rec ttl=30s; settle t1 rec epoch=2 seq=2; tick 29s
reclaim t1 rec2 → refused leased by rec, unchanged
tick 1s
-- row: reclaim/undo_lapsed
reclaim t1 rec2 → state compensating, holder rec2, epoch 3, owed 1, status 2 done, owes 1 1
settle t1 rec epoch=2 seq=1 → refused stale_epoch by rec2, unchanged
settle t1 rec2 epoch=3 seq=1 → state compensated, cause lapsed

# Recovery whose lease has lapsed may still settle, until another took over
create t1 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec; tick 60s
heartbeat t1 rec epoch=2 → refused lease_lapsed by rec, unchanged
settle t1 rec epoch=2 seq=1 → state compensated, cause lapsed

# If a worker lapses during its own undo, recovery takes over, whatever on_lapse says
create t1 on-lapse=hold undo=rm:x; create t2 on-lapse=quarantine undo=rm:x; acquire t1 a; acquire t2 a
rollback t1 a epoch=1 keep; rollback t2 a epoch=1 keep; tick 60s
reclaim t1 rec → state compensating, holder rec, epoch 2
reclaim t2 rec → state compensating, holder rec, epoch 2
settle t2 rec epoch=2 seq=1 → state compensated, cause rolled_back

# Recovery plans a task again when its reservation has lapsed, and undoes nothing
create t1 undo=rm:x; dispatch t1 a; tick 59s
-- row: reclaim/reserved
reclaim t1 rec → refused reserved by a, unchanged
tick 1s
-- row: reclaim/reservation
reclaim t1 rec → state planned, epoch 0, attempts 0, status 1 standing, owed 0, not-before none
show t1 → history created dispatched replanned

# Recovery quarantines a task that nobody started within start_within
create t1 start-within=10s; tick 9999ms
-- row: reclaim/start_ahead
reclaim t1 rec → refused not_due, unchanged
tick 1ms
-- row: reclaim/not_started
reclaim t1 rec → state quarantined, cause not_started, attempts 0, epoch 0

# The time for start_within counts from when the task is due
create t1 not-before=+10s start-within=10s; tick 19s
reclaim t1 rec → refused not_due, unchanged
tick 1s
reclaim t1 rec → state quarantined, cause not_started

# A task can be acquired after start_within until recovery quarantines it
create t1 start-within=10s; tick 1h
acquire t1 a → state running

# The limit start_within applies only to the first attempt
create t1 start-within=10s; acquire t1 a; release t1 a epoch=1; tick 1h
reclaim t1 rec → refused wrong_state, unchanged

# Without start_within, a planned task can wait without limit
create t1; tick 365d
-- row: reclaim/no_start_limit
reclaim t1 rec → refused wrong_state, unchanged
acquire t1 a → state running
