# What is malformed is refused before a request id that was used
create t1 request=r1
create t2 max-attempts=0 request=r1 → refused invalid policy.max_attempts

# What is malformed is refused before what there is not
put t1 revision=1 result=7 → refused invalid result
retry t1 as=t1 → refused invalid id
progress t1 a epoch=1 → refused invalid progress
mark-compensated t1 waive=1,1 → refused invalid waive

# What is malformed is refused before what is over
create t1; cancel t1
progress t1 a epoch=1 → refused invalid progress, unchanged
put t1 revision=3 state=compensated reason=odd epoch=9 → refused invalid epoch, unchanged

# What never changes is refused before a lease, a reservation and a change that was not read
create t1; create t2; create t3; acquire t1 a; dispatch t2 a
put t1 revision=2 epoch=9 → refused invalid epoch, unchanged
put t2 revision=2 attempts=9 → refused invalid attempts, unchanged
put t3 revision=9 saga=other → refused invalid saga_id, unchanged

# What a grant has changed since the record was read is a stale write or a lease, not a malformed record
create t1; acquire t1 a; create t2; acquire t2 a; release t2 a epoch=1
put t1 revision=1 epoch=0 → refused leased by a, unchanged
put t2 revision=1 epoch=0 → refused stale_write, unchanged

# A used request id is refused before what there is not
create t1 request=r1
acquire t2 a request=r1 → refused request_reused

# A used request id is refused before what is over
create t1 request=r1; cancel t1
acquire t1 a request=r1 → refused request_reused, unchanged

# What there is not is refused before everything about a lease
complete t1 a epoch=1 → refused not_found
heartbeat t1 a epoch=0 → refused not_found
register t1 rm:x → refused not_found
waive t1 seq=1 → refused not_found
reclaim t1 rec → refused not_found
annotate t1 note=why → refused not_found
retry t1 as=t2 → refused not_found
cancel t1 → refused not_found

# What is over is refused before a lease that there is not
create t1; acquire t1 a; complete t1 a epoch=1
heartbeat t1 a epoch=1 → refused terminal, unchanged
heartbeat t1 b epoch=9 → refused terminal, unchanged
put t1 revision=1 priority=5 → refused terminal, unchanged

# A lease that there is not is refused before a wrong epoch
create t1
-- row: fence/unheld
complete t1 a epoch=9 → refused no_lease, unchanged
dispatch t1 a
complete t1 b epoch=9 → refused no_lease, unchanged

# A lease that there is not is refused before a state that does not allow it
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
-- row: fence/undo_unheld
complete t1 a epoch=1 → refused no_lease, unchanged
progress t1 a epoch=1 progress=1 → refused no_lease, unchanged

# A wrong epoch is refused before a wrong owner
create t1; acquire t1 a
complete t1 b epoch=2 → refused stale_epoch by a, unchanged

# A wrong epoch is refused before a lapse and a state that does not allow it
create t1 undo=rm:x; acquire t1 a; tick 60s
heartbeat t1 a epoch=2 → refused stale_epoch by a, unchanged
rollback t1 a epoch=1 keep
complete t1 a epoch=2 → refused stale_epoch by a, unchanged

# A wrong owner is refused before a lapse
create t1; acquire t1 a; tick 60s
heartbeat t1 b epoch=1 → refused wrong_owner by a, unchanged
register t1 rm:x b epoch=1 → refused wrong_owner by a, unchanged

# A wrong owner is refused before what is owed and what is lacking
create t1 on-lapse=hold undo=rm:x; create t2; acquire t1 a; acquire t2 a; tick 60s; acquire t1 b
complete t1 a epoch=2 → refused wrong_owner by b, unchanged
fail t2 b epoch=1 → refused wrong_owner by a, unchanged

# A lapse is refused before a state that does not allow it
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep; tick 60s
progress t1 a epoch=1 progress=1 → refused lease_lapsed by a, unchanged
register t1 rm:y a epoch=1 → refused lease_lapsed by a, unchanged

# A lapse is refused before a heartbeat that would not extend
create t1 stall-after=60s time-limit=60s; acquire t1 a; tick 60s
heartbeat t1 a epoch=1 → refused lease_lapsed by a, unchanged

# A lock delay is refused before what is owed and before the policy
create t1 lock-delay=5s undo=rm:x; create t2 lock-delay=5s on-lapse=quarantine; acquire t1 a; acquire t2 a; tick 60s
acquire t1 b → refused not_due by a, unchanged
acquire t2 b → refused not_due by a, unchanged
