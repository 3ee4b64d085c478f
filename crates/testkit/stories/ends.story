# A completed task stores its result, and its owed compensations become void
create t1 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1
-- row: complete
complete t1 a epoch=1 result={"pr":12} → state completed, cause completed, result {"pr":12}, nobody, owed 0, status 1 void, status 2 void, revision 4
show t1 → history created acquired registered completed

# A holder can't complete a task while an older epoch owes a compensation
create t1 on-lapse=hold undo=rm:x; acquire t1 a; tick 60s; acquire t1 b
-- row: complete/owed
complete t1 b epoch=2 → refused compensation_owed by b, unchanged
settle t1 b epoch=2 seq=1
complete t1 b epoch=2 → state completed

# A failed task still owes its registered compensations
create t1 max-attempts=3 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1
-- row: fail
fail t1 a epoch=1 reason=no_such_repo → state failed, cause failed, reason no_such_repo, compensations 2, owed 2, status 1 owed, status 2 owed, nobody

# A holder can't fail a task that has no compensation record
create t1; acquire t1 a
-- row: fail/bare
fail t1 a epoch=1 → refused compensation_required by a, unchanged
fail t1 a epoch=1 undo=rm:x → state failed, compensations 1, owed 1, owes 1 1, key 1 default/t1/1/1, revision 3

# A task can fail with nothing to undo if it records a compensation of kind none
create t1; acquire t1 a
fail t1 a epoch=1 undo=none:nothing → state failed, compensations 1, status 1 void, owed 0

# A holder can fail a task whose only compensation is settled
create t1 undo=rm:x; acquire t1 a; settle t1 a epoch=1 seq=1
fail t1 a epoch=1 → state failed, owed 0, status 1 done

# Rolling back hands the undo to recovery
create t1 undo=rm:x; acquire t1 a; tick 5s
-- row: rollback
rollback t1 a epoch=1 → state compensating, nobody, due +0s, owed 1, attempts 1, revision 3
settle t1 a epoch=1 seq=1 → refused no_lease, unchanged

# A worker can keep its lease and undo its own work
create t1 undo=rm:x; acquire t1 a
rollback t1 a epoch=1 keep reason=broken → state compensating, holder a, epoch 1, expires +60s, owed 1
settle t1 a epoch=1 seq=1 → state compensated, cause rolled_back, reason broken, nobody

# A roll back ends the task at once if nothing is owed
create t1; acquire t1 a
-- row: rollback/nothing
-- row: end/spent
rollback t1 a epoch=1 keep reason=broken → state compensated, cause rolled_back, reason broken, nobody, attempts 1, revision 4
show t1 → history created acquired rolled_back compensated

# A rolled back task is planned again while attempts are left, with a growing backoff
create t1 max-attempts=4 backoff=1s,2,3s; acquire t1 a
-- row: end/again
rollback t1 a epoch=1 → state planned, attempts 1, not-before +1s
tick 1s; acquire t1 a
rollback t1 a epoch=2 → state planned, attempts 2, not-before +2s
tick 2s; acquire t1 a
rollback t1 a epoch=3 → state planned, attempts 3, not-before +3s
tick 3s; acquire t1 a
rollback t1 a epoch=4 → state compensated, cause rolled_back, attempts 4

# Without a backoff, a rolled back task can be acquired again at once
create t1 max-attempts=2 backoff=0s,2,5m; acquire t1 a
rollback t1 a epoch=1 → state planned, not-before none
acquire t1 b → attempts 2

# A task with no attempts left is quarantined if when_spent is quarantined
create t1 when-spent=quarantined; acquire t1 a
-- row: end/spent_quarantined
rollback t1 a epoch=1 reason=broken → state quarantined, cause attempts_spent, reason broken

# A task with no attempts left is quarantined only after its undo is done
create t1 when-spent=quarantined undo=rm:x; acquire t1 a; tick 60s
reclaim t1 rec → state compensating
settle t1 rec epoch=2 seq=1 → state quarantined, cause attempts_spent, owed 0

# A holder can quarantine its task, and owed compensations stay owed
create t1 max-attempts=3 undo=rm:x; acquire t1 a
-- row: quarantine
quarantine t1 a epoch=1 reason=odd → state quarantined, cause by_holder, reason odd, nobody, owed 1, status 1 owed

# Recovery quarantines a task if it has no handler for the undo
create t1 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec
quarantine t1 rec epoch=2 parking=undo_unhandled reason=no_handler_for_rm → state quarantined, cause undo_unhandled, reason no_handler_for_rm, owed 1

# Recovery quarantines a task if the undo failed
create t1 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec; try t1 rec epoch=2 seq=1
quarantine t1 rec epoch=2 parking=undo_failed → state quarantined, cause undo_failed, owed 1, tries 1 1

# A task that is being undone can't be completed, failed, rolled back or adopted
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep
-- row: undo/ends_otherwise
complete t1 a epoch=1 → refused wrong_state by a, unchanged
fail t1 a epoch=1 → refused wrong_state by a, unchanged
rollback t1 a epoch=1 → refused wrong_state by a, unchanged
adopt t1 a epoch=1 → refused wrong_state by a, unchanged

# A lapsed holder may still end its task, until somebody takes over
create t1; create t2 undo=rm:x; create t3 undo=rm:x; create t4; acquire t1 a; acquire t2 a; acquire t3 a; acquire t4 a; tick 1h
complete t1 a epoch=1 result=7 → state completed, result 7
fail t2 a epoch=1 → state failed, owed 1
rollback t3 a epoch=1 keep → state compensating, holder a
settle t3 a epoch=1 seq=1 → state compensated, cause rolled_back
quarantine t4 a epoch=1 → state quarantined, cause by_holder

# A task that has ended can't be leased or reserved
create t1 queue=q; acquire t1 a; complete t1 a epoch=1
-- row: over
acquire t1 b → refused terminal, unchanged
dispatch t1 b → refused terminal, unchanged
reclaim t1 rec → refused terminal, unchanged
claim q b n=1 → tasks none

# The last holder can't change a task that has ended
create t1 undo=rm:x; acquire t1 a; fail t1 a epoch=1
heartbeat t1 a epoch=1 → refused terminal, unchanged
progress t1 a epoch=1 progress=1 → refused terminal, unchanged
release t1 a epoch=1 → refused terminal, unchanged
register t1 rm:y a epoch=1 → refused terminal, unchanged
settle t1 a epoch=1 seq=1 → refused terminal, unchanged
try t1 a epoch=1 seq=1 → refused terminal, unchanged
adopt t1 a epoch=1 → refused terminal, unchanged
complete t1 a epoch=1 → refused terminal, unchanged
fail t1 a epoch=1 → refused terminal, unchanged
rollback t1 a epoch=1 → refused terminal, unchanged
quarantine t1 a epoch=1 → refused terminal, unchanged

# An operator's waive, register, mark or cancel can't change a task that has ended
create t1 undo=rm:x; acquire t1 a; quarantine t1 a epoch=1
waive t1 seq=1 → refused terminal, unchanged
register t1 rm:y → refused terminal, unchanged
mark-completed t1 → refused terminal, unchanged
mark-failed t1 → refused terminal, unchanged
mark-compensated t1 waive=1 → refused terminal, unchanged
mark-quarantined t1 → refused terminal, unchanged
cancel t1 → refused terminal, unchanged

# A compensated task refuses complete, acquire and put
create t1; acquire t1 a; rollback t1 a epoch=1
complete t1 a epoch=1 → refused terminal, unchanged
acquire t1 b → refused terminal, unchanged
put t1 revision=4 state=completed → refused terminal, unchanged

# The holder of a running task can't quarantine it for a failed undo
create t1; acquire t1 a
-- row: quarantine/nothing_to_undo
quarantine t1 a epoch=1 parking=undo_failed → refused wrong_state by a, unchanged
-- row: quarantine
quarantine t1 a epoch=1 → state quarantined, cause by_holder

# A worker needs the undo lease to quarantine a task that is being undone
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec
quarantine t1 other epoch=2 → refused wrong_owner by rec, unchanged
quarantine t1 rec epoch=1 → refused stale_epoch by rec, unchanged
-- row: quarantine/undo
quarantine t1 rec epoch=2 parking=undo_unhandled → state quarantined, cause undo_unhandled

# Under on_failure quarantine, a holder's fail parks the task and needs no compensation
create t1 on-failure=quarantine; acquire t1 a; register t1 rm:x a epoch=1
-- row: fail/parks
fail t1 a epoch=1 reason=no_idea → state quarantined, cause failed, reason no_idea, owed 1, status 1 owed
create t2 on-failure=quarantine; acquire t2 a
fail t2 a epoch=1 undo=close:y → state quarantined, owed 1

# An operator who marks such a task failed means failed
create t1 on-failure=quarantine
mark-failed t1 undo=none:nothing → state failed, cause by_operator
