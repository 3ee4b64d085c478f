# A dispatch reserves a task for one owner, but grants no lease
create t1
-- row: dispatch
dispatch t1 a → state dispatched, epoch 0, attempts 0, revision 2, nobody
heartbeat t1 a epoch=0 → refused no_lease, unchanged
complete t1 a epoch=1 → refused no_lease, unchanged

# Only the owner of an active reservation can acquire the reserved task
create t1; dispatch t1 a
acquire t1 b → refused reserved by a, unchanged
acquire t1 a → state running, holder a, epoch 1, attempts 1
show t1 → history created dispatched acquired

# A reservation lapses exactly at its end, and then any worker can acquire the task
create t1; dispatch t1 a ttl=10s; tick 9999ms
acquire t1 b → refused reserved by a, unchanged
tick 1ms
acquire t1 b → state running, holder b, epoch 1

# After a reservation has lapsed, its owner can still acquire the task
create t1; dispatch t1 a; tick 1h
acquire t1 a → state running, holder a

# A reservation without a ttl lasts for the policy's lease_ttl
create t1 ttl=10s; dispatch t1 a; tick 9s
stale → tasks none
tick 1s
stale → tasks t1

# A dispatch can't replace an active reservation, but can replace a lapsed one
create t1; dispatch t1 a
-- row: dispatch/reserved
dispatch t1 b → refused reserved by a, unchanged
dispatch t1 a → refused reserved by a, unchanged
tick 60s
-- row: dispatch/again
dispatch t1 b → state dispatched, revision 3
acquire t1 a → refused reserved by b, unchanged

# A task may be reserved before it is due
create t1 not-before=+1h
dispatch t1 a → state dispatched

# A running task can't be reserved, not even after its lease has lapsed
create t1; acquire t1 a
-- row: dispatch/leased
dispatch t1 b → refused leased by a, unchanged
tick 60s
-- row: dispatch/lapsed
dispatch t1 b → refused wrong_state, unchanged

# A task that is being undone can't be reserved
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
-- row: dispatch/undo
dispatch t1 b → refused wrong_state, unchanged
reclaim t1 rec
dispatch t1 b → refused wrong_state, unchanged
