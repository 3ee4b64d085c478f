# Under either, another owner may take a lapsed task over and inherits what is owed
create t1 on-lapse=either undo=rm:x; acquire t1 a; register t1 close:y a epoch=1
tick 60s
acquire t1 b → holder b, epoch 2, attempts 2, owes 1 1, owes 2 1, last-lease a 1
complete t1 b epoch=2 → refused compensation_owed by b, unchanged
adopt t1 b epoch=2; complete t1 b epoch=2 → state completed, last-lease b 2

# Under either, recovery undoes a lapsed task that nobody took over
create t1 on-lapse=either undo=rm:x; acquire t1 a; tick 60s
reclaim t1 rec → state compensating, holder rec, epoch 2
acquire t1 b → refused wrong_state, unchanged
settle t1 rec epoch=2 seq=1 → state compensated, cause lapsed, last-lease a 1

# Under either, the one who comes first gets the task: after a takeover recovery is refused
create t1 on-lapse=either; acquire t1 a; tick 60s
acquire t1 b → holder b, epoch 2
reclaim t1 rec → refused leased by b, unchanged

# Recovery leaves a lapsed task to other owners until recover_after is over
create t1 on-lapse=either recover-after=5m undo=rm:x; acquire t1 a; tick 60s
lapsed → tasks none
stale → tasks t1
-- row: reclaim/recover_after
reclaim t1 rec → refused not_due, unchanged
tick 299s; reclaim t1 rec → refused not_due, unchanged
tick 1s
lapsed → tasks t1
reclaim t1 rec → state compensating, holder rec

# Another owner need not wait for recover_after, but for the lock delay
create t1 on-lapse=either recover-after=5m lock-delay=10s; acquire t1 a; tick 65s
acquire t1 b → refused not_due, unchanged
tick 5s; acquire t1 b → holder b, epoch 2

# Recovery waits for the lock delay and then for recover_after
create t1 on-lapse=either recover-after=20s lock-delay=10s; acquire t1 a; tick 89s
reclaim t1 rec → refused not_due, unchanged
tick 1s; reclaim t1 rec → state compensated, cause lapsed

# A cancelled task is recovered without waiting for recover_after, and nobody takes it over
create t1 on-lapse=either recover-after=5m undo=rm:x; acquire t1 a; cancel t1; tick 60s
lapsed → tasks t1
acquire t1 b → refused wrong_state, unchanged
reclaim t1 rec → state compensating, holder rec
settle t1 rec epoch=2 seq=1 → state compensated, cause cancelled

# The lease of an undo has no recover_after
create t1 on-lapse=either recover-after=5m undo=rm:x; acquire t1 a; rollback t1 a epoch=1
reclaim t1 rec; tick 60s
reclaim t1 rec2 → holder rec2, epoch 3

# Under either, a release undoes what is owed, as under recover
create t1 on-lapse=either undo=rm:x; acquire t1 a
release t1 a epoch=1 → state compensating, owed 1

# A policy with recover_after needs either
create t1 recover-after=5m → refused invalid policy.recover_after
