# What has lapsed and is not over is stale, and recovery is told of it
create t1; create t2; acquire t1 a; acquire t2 a ttl=2m; tick 59999ms
stale → tasks none
lapsed → tasks none
tick 1ms
stale → tasks t1
lapsed → tasks t1

# Under hold a lapsed task is stale, but recovery is told only when cancel is asked
create t1 on-lapse=hold; create t2; create t3 on-lapse=quarantine; acquire t1 a; acquire t2 a; acquire t3 a; tick 60s
stale → tasks t1 t2 t3
lapsed → tasks t2 t3
cancel t1
stale → tasks t1 t2 t3
lapsed → tasks t1 t2 t3

# Recovery is told of what was cancelled under hold before it lapsed
create t1 on-lapse=hold; acquire t1 a; cancel t1
lapsed → tasks none
tick 60s
lapsed → tasks t1

# Recovery is told of a lapsed task once its lock delay is over
create t1 lock-delay=5s; acquire t1 a; tick 60s
stale → tasks t1
lapsed → tasks none
tick 4999ms
lapsed → tasks none
tick 1ms
lapsed → tasks t1

# A lapsed reservation is stale, and recovery is told of it
create t1; create t2 on-lapse=hold; dispatch t1 a; dispatch t2 a; tick 60s
stale → tasks t1 t2
lapsed → tasks t1 t2
reclaim t1 rec; reclaim t2 rec
stale → tasks none
lapsed → tasks none

# A task whose holder is alive is not stale
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

# A task that is over is never stale
create t1; create t2; acquire t1 a; acquire t2 a; tick 60s; complete t1 a epoch=1; mark-quarantined t2
stale → tasks none
lapsed → tasks none

# An undo that nobody holds is not stale, but recovery is told of it when it is due
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

# Recovery that died is stale, and another is told of it, under hold as well
create t1 undo=rm:x; create t2 on-lapse=hold undo=rm:x; acquire t1 a; acquire t2 a
rollback t1 a epoch=1; rollback t2 a epoch=1 keep; reclaim t1 rec; tick 60s
stale → tasks t1 t2
lapsed → tasks t1 t2

# A task that waits is not stale, however long it waits
create t1; create t2 not-before=+1h; tick 1d
stale → tasks none
lapsed → tasks none

# Recovery is told of a task that nobody began in time
create t1 start-within=10s; tick 9999ms
lapsed → tasks none
tick 1ms
stale → tasks none
lapsed → tasks t1
reclaim t1 rec
lapsed → tasks none

# A limit to begin follows the policy and goes with the first attempt
create t1 start-within=10s; create t2 start-within=10s
put t1 revision=1 start-within=1h
acquire t2 a; release t2 a epoch=1; tick 10s
lapsed → tasks none

# A retry that owes waits for recovery at once
create t1 undo=rm:x; acquire t1 a; fail t1 a epoch=1; retry t1 as=t2
stale → tasks none
lapsed → tasks t2
