# Progress is saved and does not renew the lease
create t1; acquire t1 a; tick 10s
-- row: progress
progress t1 a epoch=1 progress={"percent":40} → state running, progress {"percent":40}, expires +50s, revision 2
show t1 → history created acquired

# Progress keeps a lease from stalling
create t1 stall-after=90s; acquire t1 a; tick 50s; heartbeat t1 a epoch=1; tick 10s
heartbeat t1 a epoch=1 → refused stalled, unchanged
progress t1 a epoch=1 progress=1 → expires +30s
heartbeat t1 a epoch=1 → expires +60s

# The checkpoint stays with the task for the next attempt
create t1; acquire t1 a
progress t1 a epoch=1 checkpoint={"step":3} → checkpoint {"step":3}
release t1 a epoch=1 → state planned, checkpoint {"step":3}
acquire t1 b → checkpoint {"step":3}

# A worker that takes over gets the checkpoint
create t1; acquire t1 a; tick 10s; heartbeat t1 a epoch=1 checkpoint={"step":3}; tick 60s
acquire t1 b → holder b, epoch 2, checkpoint {"step":3}

# Recovery keeps the checkpoint for the next attempt
create t1 max-attempts=2 undo=rm:x; acquire t1 a; progress t1 a epoch=1 checkpoint={"step":3}; tick 60s
reclaim t1 rec → checkpoint {"step":3}
settle t1 rec epoch=2 seq=1 → state planned, checkpoint {"step":3}

# A holder that undoes its own work keeps the checkpoint for the next attempt
create t1 max-attempts=2 undo=rm:x; acquire t1 a; progress t1 a epoch=1 checkpoint={"step":3}
rollback t1 a epoch=1 keep → checkpoint {"step":3}
settle t1 a epoch=1 seq=1 → state planned, checkpoint {"step":3}
tick 1s
acquire t1 b → checkpoint {"step":3}

# Progress after the lease has lapsed is refused
create t1; acquire t1 a; tick 60s
progress t1 a epoch=1 progress=1 → refused lease_lapsed by a, unchanged

# Progress with a wrong owner or epoch is refused
create t1; acquire t1 a
progress t1 b epoch=1 progress=1 → refused wrong_owner by a, unchanged
progress t1 a epoch=2 progress=1 → refused stale_epoch by a, unchanged

# Progress is refused while the task is being undone
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep
-- row: undo/not_running
progress t1 a epoch=1 progress=1 → refused wrong_state by a, unchanged

# Empty progress is refused
create t1; acquire t1 a
progress t1 a epoch=1 → refused invalid progress, unchanged
