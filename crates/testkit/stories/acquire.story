# Acquiring gives a lease, an epoch and an attempt
create t1
-- row: acquire
acquire t1 a → state running, holder a, epoch 1, attempts 1, revision 2, expires +60s
show t1 → history created acquired

# An acquire of a leased task is refused, and the refusal names the holder
create t1; acquire t1 a
-- row: acquire/leased
acquire t1 b → refused leased by a, unchanged
acquire t1 a → refused leased by a, unchanged

# A lease lasts for the policy's lease_ttl, or for the ttl that the acquire asks for
create t1 ttl=30s; create t2 ttl=30s
acquire t1 a → expires +30s
acquire t2 a ttl=10s → expires +10s

# A task is not acquired before it is due
create t1 not-before=+10s; tick 9999ms
-- row: acquire/not_due
acquire t1 a → refused not_due, unchanged
tick 1ms
acquire t1 a → state running

# An unknown task can't be acquired
-- row: absent
acquire t1 a → refused not_found
show t1 → absent

# A standing compensation becomes owed when an attempt begins
create t1 undo=rm:x undo=close:y
acquire t1 a → owed 2, status 1 owed, owes 1 1, key 1 default/t1/1/1, key 2 default/t1/2/1

# While a reservation is active, only its owner can acquire the task
create t1; dispatch t1 a
-- row: acquire/for_another
acquire t1 b → refused reserved by a, unchanged
-- row: acquire/reserved
acquire t1 a → state running, holder a, epoch 1

# A worker can take over a lapsed task that owes nothing
create t1; acquire t1 a; tick 59999ms
acquire t1 b → refused leased by a, unchanged
tick 1ms
-- row: acquire/takeover
acquire t1 b → state running, holder b, epoch 2, attempts 2, expires +60s
show t1 → history created acquired acquired

# An acquire succeeds even when no attempts are left
create t1 max-attempts=1; acquire t1 a; tick 60s; acquire t1 b; tick 60s
acquire t1 c → holder c, epoch 3, attempts 3

# A worker can't take over a lapsed task until its owed compensation is settled
create t1 undo=rm:x; acquire t1 a; tick 60s
-- row: acquire/owed
acquire t1 b → refused compensation_owed by a, unchanged
settle t1 a epoch=1 seq=1
acquire t1 b → holder b, epoch 2, status 1 owed, owes 1 2

# Under hold, the next holder takes over and inherits the owed compensations
create t1 on-lapse=hold undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; tick 60s
acquire t1 b → holder b, epoch 2, attempts 2, owed 2, owes 1 1, owes 2 1, key 1 default/t1/1/1

# Under hold, a settled compensation from before the lease becomes owed again at a takeover
create t1 on-lapse=hold undo=rm:x; acquire t1 a; settle t1 a epoch=1 seq=1; tick 60s
acquire t1 b → owed 1, status 1 owed, owes 1 2, key 1 default/t1/1/2

# Under quarantine, a lapsed task can't be taken over
create t1 on-lapse=quarantine; acquire t1 a; tick 60s
-- row: acquire/not_yours
acquire t1 b → refused wrong_state by a, unchanged

# After a cancel, a lapsed task can't be taken over, even under hold
create t1 on-lapse=hold; acquire t1 a; cancel t1; tick 60s
acquire t1 b → refused wrong_state by a, unchanged

# A lock delay keeps a lapsed lease from being taken over at once
create t1 lock-delay=5s; acquire t1 a; tick 64999ms
-- row: acquire/lock_delay
acquire t1 b → refused not_due by a, unchanged
tick 1ms
acquire t1 b → holder b, epoch 2

# A task that is being undone is not acquired
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
-- row: acquire/undo
acquire t1 b → refused wrong_state, unchanged
reclaim t1 rec
acquire t1 b → refused wrong_state by rec, unchanged
