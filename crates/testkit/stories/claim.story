# A claim takes the next due tasks of its queue
create t1 queue=q undo=rm:x; create t2 queue=other
-- row: claim
claim q a n=4 → tasks t1
show t1 → state running, holder a, epoch 1, attempts 1, revision 2, owed 1, owes 1 1, expires +60s
show t2 → state planned, revision 1
claim q a n=4 → tasks none

# A claim uses each task's own lease_ttl unless the claim gives one
create t1 queue=q ttl=30s; create t2 queue=q2 ttl=30s
claim q a n=1; claim q2 a n=1 ttl=10s
show t1 → expires +30s
show t2 → expires +10s

# The higher priority goes first
create t1 queue=q priority=1; create t2 queue=q priority=9; create t3 queue=q priority=5
claim q a n=2 → tasks t2 t3
claim q a n=2 → tasks t1

# Among tasks of equal priority, a claim takes the one that became due first
create t1 queue=q not-before=+20s; create t2 queue=q not-before=+10s; tick 20s
claim q a n=2 → tasks t2 t1

# A task without a not-before time counts as due from its creation
create t1 queue=q not-before=+10s; tick 5s; create t2 queue=q; tick 5s
claim q a n=2 → tasks t2 t1

# Among tasks that became due at the same time, a claim takes the older one first
create t2 queue=q not-before=+10s; tick 5s; create t1 queue=q not-before=+5s; tick 5s
claim q a n=2 → tasks t2 t1

# Priority counts more than waiting time
create t1 queue=q; tick 1h; create t2 queue=q priority=1
claim q a n=1 → tasks t2

# A claim returns fewer tasks than it asked for only if fewer are due
create t1 queue=q; tick 1s; create t2 queue=q; tick 1s; create t3 queue=q not-before=+10s; create t4 queue=q priority=-1
claim q a n=4 → tasks t1 t2 t4

# A task that is not due does not block a due task of lower priority
create t1 queue=q priority=9 not-before=+10s; create t2 queue=q
-- row: claim/not_due
claim q a n=1 → tasks t2
claim q a n=1 → tasks none
tick 10s
claim q a n=1 → tasks t1

# A claim skips a reserved task until its reservation lapses
create t1 queue=q; dispatch t1 a
-- row: claim/reserved
claim q a n=1 → tasks none
tick 60s
-- row: claim/reservation_lapsed
claim q b n=1 → tasks t1
show t1 → state running, holder b, epoch 1, attempts 1

# A claim skips a task that has a holder
create t1 queue=q; acquire t1 a
-- row: claim/leased
claim q b n=1 → tasks none
show t1 → holder a, epoch 1

# A claim never takes over a lapsed task, whatever on_lapse says
create t1 queue=q; create t2 queue=q on-lapse=hold; create t3 queue=q on-lapse=quarantine
claim q a n=3; tick 60s
-- row: claim/no_takeover
claim q b n=3 → tasks none
acquire t1 b → holder b, epoch 2

# A claim skips a task that is being undone
create t1 queue=q undo=rm:x; acquire t1 a; rollback t1 a epoch=1
-- row: claim/undo
claim q b n=1 → tasks none
reclaim t1 rec
claim q b n=1 → tasks none

# A claim skips a task that has ended
create t1 queue=q; cancel t1
claim q a n=1 → tasks none

# A released task can be claimed again
create t1 queue=q; claim q a n=1; release t1 a epoch=1
claim q b n=1 → tasks t1
show t1 → holder b, epoch 2, attempts 1

# A claim must ask for 1 to 1000 tasks
claim q a n=0 → refused invalid limit
claim q a n=1001 → refused invalid limit
