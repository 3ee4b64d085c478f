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

# A late completion cannot cross an epoch
create t1; acquire t1 a; tick 60s; acquire t1 b
-- row: fence/stale_epoch
complete t1 a epoch=1 → refused stale_epoch by b, unchanged
complete t1 b epoch=2 → state completed

# A late failure, roll back, release or quarantine cannot cross an epoch
create t1; acquire t1 a; tick 60s; acquire t1 b
fail t1 a epoch=1 undo=rm:x → refused stale_epoch by b, unchanged
rollback t1 a epoch=1 → refused stale_epoch by b, unchanged
release t1 a epoch=1 → refused stale_epoch by b, unchanged
quarantine t1 a epoch=1 → refused stale_epoch by b, unchanged
register t1 rm:x a epoch=1 → refused stale_epoch by b, unchanged
progress t1 a epoch=1 progress=1 → refused stale_epoch by b, unchanged

# A late completion cannot cross recovery
create t1 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec
complete t1 a epoch=1 → refused stale_epoch by rec, unchanged

# A worker that comes back finds the task given to nobody
create t1 max-attempts=2; acquire t1 a; tick 60s; reclaim t1 rec
complete t1 a epoch=1 → refused no_lease, unchanged

# A worker that comes back under the same name is not the one who holds the lease
create t1; acquire t1 a; tick 60s; acquire t1 a
complete t1 a epoch=1 → refused stale_epoch by a, unchanged
heartbeat t1 a epoch=1 → refused stale_epoch by a, unchanged

# No epoch but the lease's will do, neither none nor a future one
create t1; acquire t1 a
complete t1 a epoch=0 → refused stale_epoch by a, unchanged
complete t1 a epoch=2 → refused stale_epoch by a, unchanged
complete t1 a epoch=4294967297 → refused stale_epoch by a, unchanged

# The epoch alone is no proof
create t1; acquire t1 a
-- row: fence/wrong_owner
complete t1 b epoch=1 → refused wrong_owner by a, unchanged
settle t1 b epoch=1 seq=1 → refused wrong_owner by a, unchanged

# The epoch decides, not the clock, but a lapsed lease is not renewed
create t1; acquire t1 a; tick 60s
-- row: fence/lapsed
heartbeat t1 a epoch=1 → refused lease_lapsed by a, unchanged
complete t1 a epoch=1 → state completed

# A lease holds until the instant of its end
create t1; acquire t1 a; tick 59999ms
heartbeat t1 a epoch=1 → expires +60s
tick 60s
heartbeat t1 a epoch=1 → refused lease_lapsed by a, unchanged

# Neither a note nor a cancel nor a put makes an epoch
create t1; put t1 revision=1 priority=5; acquire t1 a; annotate t1 note=why
cancel t1 → epoch 1, revision 5
