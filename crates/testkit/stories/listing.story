# A lapsed task is stale and is listed for recovery
create t1; create t2; acquire t1 a; acquire t2 a ttl=2m; tick 59999ms
stale → tasks none
lapsed → tasks none
tick 1ms
stale → tasks t1
lapsed → tasks t1

# Under hold, a task whose worker's lease lapsed is listed for recovery only after a cancel
create t1 on-lapse=hold; create t2; create t3 on-lapse=quarantine; acquire t1 a; acquire t2 a; acquire t3 a; tick 60s
stale → tasks t1 t2 t3
lapsed → tasks t2 t3
cancel t1
stale → tasks t1 t2 t3
lapsed → tasks t1 t2 t3

# Under hold, a cancelled task is listed for recovery when it lapses
create t1 on-lapse=hold; acquire t1 a; cancel t1
lapsed → tasks none
tick 60s
lapsed → tasks t1

# A lapsed task is listed for recovery after its lock delay
create t1 lock-delay=5s; acquire t1 a; tick 60s
stale → tasks t1
lapsed → tasks none
tick 4999ms
lapsed → tasks none
tick 1ms
lapsed → tasks t1

# A lapsed reservation is stale and is listed for recovery
create t1; create t2 on-lapse=hold; dispatch t1 a; dispatch t2 a; tick 60s
stale → tasks t1 t2
lapsed → tasks t1 t2
reclaim t1 rec; reclaim t2 rec
stale → tasks none
lapsed → tasks none

# A task whose holder renews its lease is not stale
create t1; acquire t1 a; tick 59s; heartbeat t1 a epoch=1; tick 59s
stale → tasks none
lapsed → tasks none
tick 1s
stale → tasks t1
lapsed → tasks t1

# A task that was taken over is not stale any more
create t1; acquire t1 a; tick 60s; acquire t1 b
stale → tasks none
lapsed → tasks none

# A task that has ended is never stale
create t1; create t2; acquire t1 a; acquire t2 a; tick 60s; complete t1 a epoch=1; mark-quarantined t2
stale → tasks none
lapsed → tasks none

# An undo without a holder is not stale, but is listed for recovery when due
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
stale → tasks none
lapsed → tasks t1
reclaim t1 rec
lapsed → tasks none
release t1 rec epoch=2 delay=10s
lapsed → tasks none
tick 10s
stale → tasks none
lapsed → tasks t1

# A task whose undo lease has lapsed is stale and listed for recovery, even under hold
create t1 undo=rm:x; create t2 on-lapse=hold undo=rm:x; acquire t1 a; acquire t2 a
rollback t1 a epoch=1; rollback t2 a epoch=1 keep; reclaim t1 rec; tick 60s
stale → tasks t1 t2
lapsed → tasks t1 t2

# A planned task is not stale, however long it waits
create t1; create t2 not-before=+1h; tick 1d
stale → tasks none
lapsed → tasks none

# A task that nobody starts within start_within is listed for recovery
create t1 start-within=10s; tick 9999ms
lapsed → tasks none
tick 1ms
stale → tasks none
lapsed → tasks t1
reclaim t1 rec
lapsed → tasks none

# A put can change start_within, which no longer applies after the first attempt
create t1 start-within=10s; create t2 start-within=10s
put t1 revision=1 start-within=1h
acquire t2 a; release t2 a epoch=1; tick 10s
lapsed → tasks none

# A retry that owes a compensation is listed for recovery at once
create t1 undo=rm:x; acquire t1 a; fail t1 a epoch=1; retry t1 as=t2
stale → tasks none
lapsed → tasks t2
