# A reservation sets a task aside for one owner and is no lease
create t1
-- row: dispatch
dispatch t1 a → state dispatched, epoch 0, attempts 0, revision 2, nobody
heartbeat t1 a epoch=0 → refused no_lease, unchanged
complete t1 a epoch=1 → refused no_lease, unchanged

# A reserved task is begun by the one it is reserved for
create t1; dispatch t1 a
acquire t1 b → refused reserved by a, unchanged
acquire t1 a → state running, holder a, epoch 1, attempts 1
show t1 → history created dispatched acquired

# A reservation lapses at the instant of its end, and then anybody may begin
create t1; dispatch t1 a ttl=10s; tick 9999ms
acquire t1 b → refused reserved by a, unchanged
tick 1ms
acquire t1 b → state running, holder b, epoch 1

# The one it was reserved for may begin late, too, as long as nobody else has
create t1; dispatch t1 a; tick 1h
acquire t1 a → state running, holder a

# A reservation lasts as long as the policy's leases unless it is given a length
create t1 ttl=10s; dispatch t1 a; tick 9s
stale → tasks none
tick 1s
stale → tasks t1

# An active reservation is not replaced, a lapsed one is
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

# A task that is held is not reserved, before its lease has lapsed or after
create t1; acquire t1 a
-- row: dispatch/leased
dispatch t1 b → refused leased by a, unchanged
tick 60s
-- row: dispatch/lapsed
dispatch t1 b → refused wrong_state, unchanged

# A task that is being undone is not reserved
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
-- row: dispatch/undo
dispatch t1 b → refused wrong_state, unchanged
reclaim t1 rec
dispatch t1 b → refused wrong_state, unchanged
