# Every grant has a higher epoch, recovery's included
create t1 max-attempts=3 undo=rm:x
acquire t1 a → epoch 1
tick 60s
reclaim t1 rec → epoch 2
settle t1 rec epoch=2 seq=1; tick 1s
acquire t1 b → epoch 3
release t1 b epoch=3
reclaim t1 rec → epoch 4

# An epoch is not used again after a release
create t1; acquire t1 a; release t1 a epoch=1
acquire t1 a → epoch 2, attempts 1
complete t1 a epoch=1 → refused stale_epoch by a, unchanged
complete t1 a epoch=2 → state completed

# A worker with an old epoch can't complete the task
create t1; acquire t1 a; tick 60s; acquire t1 b
-- row: fence/stale_epoch
complete t1 a epoch=1 → refused stale_epoch by b, unchanged
complete t1 b epoch=2 → state completed

# A worker with an old epoch can't end, release or update the task
create t1; acquire t1 a; tick 60s; acquire t1 b
fail t1 a epoch=1 undo=rm:x → refused stale_epoch by b, unchanged
rollback t1 a epoch=1 → refused stale_epoch by b, unchanged
release t1 a epoch=1 → refused stale_epoch by b, unchanged
quarantine t1 a epoch=1 → refused stale_epoch by b, unchanged
register t1 rm:x a epoch=1 → refused stale_epoch by b, unchanged
progress t1 a epoch=1 progress=1 → refused stale_epoch by b, unchanged

# A worker can't complete its task after recovery took it over
create t1 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec
complete t1 a epoch=1 → refused stale_epoch by rec, unchanged

# A worker can't complete its task after recovery planned it again
create t1 max-attempts=2; acquire t1 a; tick 60s; reclaim t1 rec
complete t1 a epoch=1 → refused no_lease, unchanged

# An owner that acquired its task again can't use its old epoch
create t1; acquire t1 a; tick 60s; acquire t1 a
complete t1 a epoch=1 → refused stale_epoch by a, unchanged
heartbeat t1 a epoch=1 → refused stale_epoch by a, unchanged

# Every epoch except the lease's is refused, also 0 and future ones
create t1; acquire t1 a
complete t1 a epoch=0 → refused stale_epoch by a, unchanged
complete t1 a epoch=2 → refused stale_epoch by a, unchanged
complete t1 a epoch=4294967297 → refused stale_epoch by a, unchanged

# The right epoch with the wrong owner is refused
create t1; acquire t1 a
-- row: fence/wrong_owner
complete t1 b epoch=1 → refused wrong_owner by a, unchanged
settle t1 b epoch=1 seq=1 → refused wrong_owner by a, unchanged

# A lapsed holder can't renew its lease, but can still complete the task
create t1; acquire t1 a; tick 60s
-- row: fence/lapsed
heartbeat t1 a epoch=1 → refused lease_lapsed by a, unchanged
complete t1 a epoch=1 → state completed

# A lease is active until its end, and lapses exactly at its end
create t1; acquire t1 a; tick 59999ms
heartbeat t1 a epoch=1 → expires +60s
tick 60s
heartbeat t1 a epoch=1 → refused lease_lapsed by a, unchanged

# Notes, cancels and puts do not change the epoch
create t1; put t1 revision=1 priority=5; acquire t1 a; annotate t1 note=why
cancel t1 → epoch 1, revision 5
