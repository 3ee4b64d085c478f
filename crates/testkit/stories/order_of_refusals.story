# A malformed command is refused as invalid, even if its request id is reused
create t1 request=r1
create t2 max-attempts=0 request=r1 → refused invalid policy.max_attempts

# A malformed command is refused as invalid, even if the task is unknown
put t1 revision=1 result=7 → refused invalid result
retry t1 as=t1 → refused invalid id
progress t1 a epoch=1 → refused invalid progress
mark-compensated t1 waive=1,1 → refused invalid waive

# A malformed command is refused as invalid, even if the task has ended
create t1; cancel t1
progress t1 a epoch=1 → refused invalid progress, unchanged
put t1 revision=3 state=compensated reason=odd epoch=9 → refused invalid epoch, unchanged

# A put that changes a fixed field is refused as invalid, not as leased, reserved or stale_write
create t1; create t2; create t3; acquire t1 a; dispatch t2 a
put t1 revision=2 epoch=9 → refused invalid epoch, unchanged
put t2 revision=2 attempts=9 → refused invalid attempts, unchanged
put t3 revision=9 saga=other → refused invalid saga_id, unchanged

# A put with the epoch from before a grant is refused as leased or stale_write, not invalid
create t1; acquire t1 a; create t2; acquire t2 a; release t2 a epoch=1
put t1 revision=1 epoch=0 → refused leased by a, unchanged
put t2 revision=1 epoch=0 → refused stale_write, unchanged

# A reused request id is refused as request_reused, even if the task is unknown
create t1 request=r1
acquire t2 a request=r1 → refused request_reused

# A reused request id is refused as request_reused, even if the task has ended
create t1 request=r1; cancel t1
acquire t1 a request=r1 → refused request_reused, unchanged

# A command on an unknown task is refused as not_found before its lease is checked
complete t1 a epoch=1 → refused not_found
heartbeat t1 a epoch=0 → refused not_found
register t1 rm:x → refused not_found
waive t1 seq=1 → refused not_found
reclaim t1 rec → refused not_found
annotate t1 note=why → refused not_found
retry t1 as=t2 → refused not_found
cancel t1 → refused not_found

# A command on an ended task is refused as terminal before its lease is checked
create t1; acquire t1 a; complete t1 a epoch=1
heartbeat t1 a epoch=1 → refused terminal, unchanged
heartbeat t1 b epoch=9 → refused terminal, unchanged
put t1 revision=1 priority=5 → refused terminal, unchanged

# A missing lease is refused as no_lease, even if the epoch is wrong
create t1
-- row: fence/unheld
complete t1 a epoch=9 → refused no_lease, unchanged
dispatch t1 a
complete t1 b epoch=9 → refused no_lease, unchanged

# A missing lease is refused as no_lease, even if the state does not allow the command
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
-- row: fence/undo_unheld
complete t1 a epoch=1 → refused no_lease, unchanged
progress t1 a epoch=1 progress=1 → refused no_lease, unchanged

# A wrong epoch is refused as stale_epoch, even if the owner is wrong
create t1; acquire t1 a
complete t1 b epoch=2 → refused stale_epoch by a, unchanged

# A wrong epoch is refused as stale_epoch, even after a lapse or during an undo
create t1 undo=rm:x; acquire t1 a; tick 60s
heartbeat t1 a epoch=2 → refused stale_epoch by a, unchanged
rollback t1 a epoch=1 keep
complete t1 a epoch=2 → refused stale_epoch by a, unchanged

# A wrong owner is refused as wrong_owner, even if the lease has lapsed
create t1; acquire t1 a; tick 60s
heartbeat t1 b epoch=1 → refused wrong_owner by a, unchanged
register t1 rm:x b epoch=1 → refused wrong_owner by a, unchanged

# A wrong owner is refused as wrong_owner, even if a compensation is owed or missing
create t1 on-lapse=hold undo=rm:x; create t2; acquire t1 a; acquire t2 a; tick 60s; acquire t1 b
complete t1 a epoch=2 → refused wrong_owner by b, unchanged
fail t2 b epoch=1 → refused wrong_owner by a, unchanged

# A lapsed lease is refused as lease_lapsed, even if the state does not allow the command
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep; tick 60s
progress t1 a epoch=1 progress=1 → refused lease_lapsed by a, unchanged
register t1 rm:y a epoch=1 → refused lease_lapsed by a, unchanged

# A heartbeat after the lapse is refused as lease_lapsed, not as stalled or out_of_time
create t1 stall-after=60s time-limit=60s; acquire t1 a; tick 60s
heartbeat t1 a epoch=1 → refused lease_lapsed by a, unchanged

# A takeover during the lock delay is refused as not_due, not as compensation_owed or wrong_state
create t1 lock-delay=5s undo=rm:x; create t2 lock-delay=5s on-lapse=quarantine; acquire t1 a; acquire t2 a; tick 60s
acquire t1 b → refused not_due by a, unchanged
acquire t2 b → refused not_due by a, unchanged
