# A release before the lapse does not count the attempt, and the task can be acquired again
create t1; acquire t1 a
-- row: release
-- row: end/released
release t1 a epoch=1 → state planned, nobody, attempts 0, epoch 1, not-before none, revision 4
show t1 → history created acquired released replanned
acquire t1 b → holder b, epoch 2, attempts 1

# A release can delay the next attempt
create t1; acquire t1 a
release t1 a epoch=1 delay=10s → state planned, not-before +10s
acquire t1 b → refused not_due, unchanged
tick 10s
acquire t1 b → holder b

# A released task that owes a compensation is undone before it is planned again
create t1 undo=rm:x; acquire t1 a
-- row: release/undo
release t1 a epoch=1 delay=10s → state compensating, nobody, due +0s, attempts 0, owed 1, revision 3
reclaim t1 rec → state compensating, holder rec, epoch 2, attempts 0
settle t1 rec epoch=2 seq=1 → state planned, not-before +10s, attempts 0, status 1 standing

# A released attempt does not count, even if recovery lapses during the undo
create t1 undo=rm:x; acquire t1 a; release t1 a epoch=1; reclaim t1 rec; tick 60s; reclaim t1 rec2
settle t1 rec2 epoch=3 seq=1 → state planned, attempts 0, not-before none

# A release after the lease has lapsed counts as an attempt
create t1 max-attempts=2; acquire t1 a; tick 60s
-- row: end/again
release t1 a epoch=1 → state planned, attempts 1, not-before +1s

# A release after the lease has lapsed ends a task that has no attempts left
create t1; acquire t1 a; tick 60s
release t1 a epoch=1 reason=tired → state compensated, cause rolled_back, attempts 1, reason tired

# After a late release, recovery undoes the owed compensation before the task ends
create t1 undo=rm:x; acquire t1 a; tick 60s
release t1 a epoch=1 → state compensating, nobody, due +0s, attempts 1
reclaim t1 rec
settle t1 rec epoch=2 seq=1 → state compensated, cause rolled_back

# Under hold, a release undoes nothing, and the next holder inherits the owed compensations
create t1 on-lapse=hold undo=rm:x; acquire t1 a; register t1 close:y a epoch=1
-- row: release/hold
release t1 a epoch=1 → state planned, nobody, attempts 0, owed 2, status 1 owed, status 2 owed, not-before none
acquire t1 b → holder b, epoch 2, attempts 1, owes 1 1, owes 2 1
complete t1 b epoch=2 → refused compensation_owed by b, unchanged
adopt t1 b epoch=2
complete t1 b epoch=2 → state completed, owed 0, status 1 void, status 2 void

# Under hold, a release keeps owed compensations; settled ones from before the lease stand again
create t1 on-lapse=hold undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; settle t1 a epoch=1 seq=1
release t1 a epoch=1 delay=10s → state planned, not-before +10s, status 1 standing, status 2 owed
tick 10s
acquire t1 b → owes 1 2, owes 2 1

# Under hold, a late release counts as an attempt and waits for the backoff
create t1 on-lapse=hold max-attempts=2 undo=rm:x; acquire t1 a; tick 60s
release t1 a epoch=1 → state planned, attempts 1, owed 1, owes 1 1, not-before +1s
show t1 → history created acquired released replanned

# Under hold a late release of the last attempt ends as a roll back
create t1 on-lapse=hold undo=rm:x; acquire t1 a; tick 60s
release t1 a epoch=1 → state compensating, nobody, attempts 1, owed 1
reclaim t1 rec
settle t1 rec epoch=2 seq=1 → state compensated, cause rolled_back

# Under hold, a cancelled task is undone when its holder releases it
create t1 on-lapse=hold undo=rm:x; acquire t1 a; cancel t1
release t1 a epoch=1 → state compensating, nobody, owed 1, cancel asked

# Recovery can release the undo lease, and nobody can reclaim the undo before it is due
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec
release t1 other epoch=2 → refused wrong_owner by rec, unchanged
release t1 rec epoch=1 → refused stale_epoch by rec, unchanged
-- row: release/undo_handed_back
release t1 rec epoch=2 delay=10s → state compensating, nobody, due +10s, attempts 1, owed 1
reclaim t1 rec → refused not_due, unchanged
tick 10s
reclaim t1 rec2 → holder rec2, epoch 3

# A worker that began its own undo may leave the rest to recovery
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1 keep; settle t1 a epoch=1 seq=2
release t1 a epoch=1 → state compensating, nobody, due +0s, owed 1, attempts 1

# Only the holder can release a task
create t1; acquire t1 a
release t1 b epoch=1 → refused wrong_owner by a, unchanged
release t1 a epoch=2 → refused stale_epoch by a, unchanged

# A checkpoint is there for the next holder, however that one took the task
create t1 queue=q; claim q a n=1 → tasks t1
progress t1 a epoch=1 checkpoint={"at":7} → checkpoint {"at":7}
release t1 a epoch=1 → attempts 0, checkpoint {"at":7}
claim q b n=1 → tasks t1
show t1 → checkpoint {"at":7}
heartbeat t1 b epoch=2 ttl=90s
release t1 b epoch=2 → checkpoint {"at":7}
acquire t1 c → epoch 3, checkpoint {"at":7}
complete t1 c epoch=3 → checkpoint {"at":7}
