# A heartbeat renews the lease from now
create t1; acquire t1 a; tick 10s
-- row: heartbeat
heartbeat t1 a epoch=1 → state running, holder a, expires +60s, cancel none

# A heartbeat changes neither the revision nor the history
create t1; acquire t1 a; tick 10s; heartbeat t1 a epoch=1 progress={"percent":40} checkpoint={"step":3}
show t1 → revision 2, progress {"percent":40}, checkpoint {"step":3}, history created acquired

# A heartbeat can ask for another ttl, which applies only to that renewal
create t1; acquire t1 a; tick 10s
heartbeat t1 a epoch=1 ttl=2m → expires +120s
tick 100s
heartbeat t1 a epoch=1 → expires +60s

# A heartbeat that does not extend the lease is refused
create t1; acquire t1 a
-- row: heartbeat/not_extending
heartbeat t1 a epoch=1 → refused not_extending by a, unchanged
tick 10s
heartbeat t1 a epoch=1 ttl=50s → refused not_extending, unchanged
heartbeat t1 a epoch=1 ttl=30s progress=1 checkpoint=2 → refused not_extending, unchanged
heartbeat t1 a epoch=1 ttl=51s → expires +51s

# A heartbeat by the wrong owner is refused
create t1; acquire t1 a; tick 10s
heartbeat t1 b epoch=1 → refused wrong_owner by a, unchanged

# A heartbeat without a lease is refused
create t1
heartbeat t1 a epoch=0 → refused no_lease, unchanged
acquire t1 a; release t1 a epoch=1
heartbeat t1 a epoch=1 → refused no_lease, unchanged

# A heartbeat at the instant of expiry is too late
create t1; acquire t1 a; tick 60s
heartbeat t1 a epoch=1 → refused lease_lapsed by a, unchanged

# A heartbeat never overwrites a reclaim
create t1 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec
heartbeat t1 a epoch=1 → refused stale_epoch by rec, unchanged

# A heartbeat never revives a lease that somebody took over
create t1; acquire t1 a; tick 60s; acquire t1 b
heartbeat t1 a epoch=1 → refused stale_epoch by b, unchanged

# A heartbeat does not revive a task that has ended
create t1; acquire t1 a; mark-completed t1
heartbeat t1 a epoch=1 → refused terminal, unchanged

# A holder that makes no progress can't renew beyond stall_after
create t1 stall-after=90s; acquire t1 a; tick 50s
heartbeat t1 a epoch=1 → expires +40s
tick 10s
-- row: heartbeat/stalled
heartbeat t1 a epoch=1 → refused stalled by a, unchanged
tick 30s
heartbeat t1 a epoch=1 → refused lease_lapsed, unchanged

# Progress or a checkpoint in a heartbeat restarts stall_after
create t1 stall-after=90s; acquire t1 a; tick 50s; heartbeat t1 a epoch=1; tick 10s
heartbeat t1 a epoch=1 progress={"percent":1} → expires +60s
tick 50s
heartbeat t1 a epoch=1 checkpoint={"step":1} → expires +60s

# Nothing extends a lease beyond the time limit, not even progress
create t1 time-limit=90s; acquire t1 a; tick 50s
heartbeat t1 a epoch=1 → expires +40s
-- row: heartbeat/out_of_time
heartbeat t1 a epoch=1 progress=1 → refused out_of_time by a, unchanged

# If stall_after and time_limit both apply, the earlier end counts
create t1 stall-after=40s time-limit=70s
acquire t1 a → expires +40s
tick 35s
heartbeat t1 a epoch=1 → refused stalled, unchanged
heartbeat t1 a epoch=1 progress=1 → expires +35s
tick 10s
heartbeat t1 a epoch=1 progress=2 → refused out_of_time, unchanged

# An acquire is bounded by time_limit and stall_after, too
create t1 time-limit=30s; create t2 stall-after=20s
acquire t1 a → expires +30s
acquire t2 a → expires +20s

# Each attempt has the whole time limit
create t1 time-limit=90s; acquire t1 a; tick 50s; heartbeat t1 a epoch=1; tick 40s
acquire t1 b → epoch 2, expires +60s
tick 50s
heartbeat t1 b epoch=2 → expires +40s

# Only the ttl limits the lease of an undo, not time_limit or stall_after
create t1 time-limit=30s stall-after=20s undo=rm:x; acquire t1 a
rollback t1 a epoch=1 keep → state compensating, holder a, expires +20s
-- row: heartbeat/undo
heartbeat t1 a epoch=1 → state compensating, expires +60s
tick 10s
heartbeat t1 a epoch=1 → expires +60s
heartbeat t1 a epoch=1 ttl=1s → refused not_extending by a, unchanged

# Recovery can renew its own lease with a heartbeat
create t1 undo=rm:x; acquire t1 a; tick 60s
reclaim t1 rec ttl=30s → expires +30s
tick 20s
heartbeat t1 rec epoch=2 → state compensating, expires +30s

# A lapse at the end of stall_after has the cause stalled, not lapsed
create t1 stall-after=90s; acquire t1 a; tick 50s; heartbeat t1 a epoch=1; tick 40s
reclaim t1 rec → state compensated, cause stalled, reason the lease of a at epoch 1 ended: no progress for the policy's stall_after

# A lapse at the end of time_limit counts as out_of_time, even if something is owed
create t1 time-limit=30s undo=rm:x when-spent=quarantined; create t2 time-limit=30s undo=rm:x; acquire t1 a; acquire t2 a; tick 30s
reclaim t1 rec → state compensating, unwinding out_of_time
settle t1 rec epoch=2 seq=1 → state quarantined, cause attempts_spent, reason the lease of a at epoch 1 ended: the attempt took the policy's time_limit
reclaim t2 rec; settle t2 rec epoch=2 seq=1 → state compensated, cause out_of_time

# A lapse after recent progress has the cause lapsed, not stalled
create t1 stall-after=90s; acquire t1 a; tick 50s; progress t1 a epoch=1 progress=1; tick 10s
reclaim t1 rec → state compensated, cause lapsed

# Under quarantine, a lapse still has the cause stalled or lapsed
create t1 stall-after=30s on-lapse=quarantine; create t2 on-lapse=quarantine; acquire t1 a; acquire t2 a; tick 60s
reclaim t1 rec → state quarantined, cause stalled
reclaim t2 rec → state quarantined, cause lapsed

# If the lease of an undo lapses, the reason for the undo does not change
create t1 stall-after=30s undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep; tick 30s
reclaim t1 rec → state compensating, unwinding rolled_back
