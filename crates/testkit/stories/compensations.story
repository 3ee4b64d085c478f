# A compensation that is registered before a lease is standing until an attempt begins
create t1
-- row: register/standing
register t1 rm:x → state planned, compensations 1, status 1 standing, owed 0, revision 2
dispatch t1 a
register t1 close:y → state dispatched, compensations 2, status 2 standing, owed 0
acquire t1 a → owed 2, owes 1 1, owes 2 1

# A compensation that a holder registers is owed at once
create t1; acquire t1 a
-- row: register
register t1 rm:x a epoch=1 → state running, compensations 1, status 1 owed, owes 1 1, key 1 default/t1/1/1, revision 3

# A compensation of kind none is recorded, but is never owed
create t1; acquire t1 a
register t1 none:nothing a epoch=1 → compensations 1, status 1 void, owed 0
settle t1 a epoch=1 seq=1 → refused compensation_settled, unchanged

# Only the holder can register a compensation on a leased task
create t1; acquire t1 a
-- row: register/by_lease
register t1 rm:x → refused leased by a, unchanged
register t1 rm:x b epoch=1 → refused wrong_owner by a, unchanged

# A worker without a lease can't register a compensation as the holder
create t1
-- row: fence/unheld_register
register t1 rm:x a epoch=1 → refused no_lease, unchanged

# A lapsed holder can't register a compensation
create t1; acquire t1 a; tick 60s
register t1 rm:x a epoch=1 → refused lease_lapsed by a, unchanged

# No compensation can be registered while a task is being undone
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep
-- row: register/undo
register t1 rm:y a epoch=1 → refused wrong_state by a, unchanged
-- row: register/undo_by_none
register t1 rm:y → refused wrong_state by a, unchanged
release t1 a epoch=1
register t1 rm:y → refused wrong_state, unchanged
register t1 rm:y a epoch=1 → refused no_lease, unchanged

# A task can have at most 1000 compensations
create t1; fill t1
show t1 → compensations 1000
-- row: register/full_before
register t1 rm:x → refused invalid compensations, unchanged
acquire t1 a → owed 1000
-- row: register/full
register t1 rm:x a epoch=1 → refused invalid compensations, unchanged
-- row: fail/full
fail t1 a epoch=1 undo=rm:x → refused invalid compensations, unchanged
-- row: mark/failed_full
mark-failed t1 undo=rm:x → refused invalid compensations, unchanged
fail t1 a epoch=1 → state failed, owed 1000

# A holder can settle its own compensation and then complete the task
create t1; acquire t1 a; register t1 rm:x a epoch=1
-- row: settle
settle t1 a epoch=1 seq=1 receipt=gone → state running, holder a, owed 0, status 1 done, receipt 1 gone
complete t1 a epoch=1 → state completed, status 1 done, receipt 1 gone

# A settled compensation can't be settled again
create t1 undo=rm:x; acquire t1 a; settle t1 a epoch=1 seq=1 receipt=first
-- row: settle/settled
settle t1 a epoch=1 seq=1 receipt=second → refused compensation_settled by a, unchanged
try t1 a epoch=1 seq=1 → refused compensation_settled by a, unchanged

# Settling an unknown compensation is refused as not_found
create t1 undo=rm:x; acquire t1 a
-- row: settle/unknown
settle t1 a epoch=1 seq=2 → refused not_found by a, unchanged
try t1 a epoch=1 seq=2 → refused not_found by a, unchanged

# Only an owed compensation can be settled, not a standing one
create t1 on-lapse=hold undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; settle t1 a epoch=1 seq=1; release t1 a epoch=1
cancel t1 → state compensating, status 1 standing, status 2 owed
reclaim t1 rec
-- row: settle/standing
settle t1 rec epoch=2 seq=1 → refused wrong_state by rec, unchanged
try t1 rec epoch=2 seq=1 → refused wrong_state by rec, unchanged
settle t1 rec epoch=2 seq=2 → state compensated, status 1 void, status 2 done

# After a failed undo, the compensation stays owed under the same key
create t1 undo=rm:x; acquire t1 a
-- row: try
try t1 a epoch=1 seq=1 error=busy → state running, owed 1, status 1 owed, tries 1 1, revision 3
rollback t1 a epoch=1; reclaim t1 rec
try t1 rec epoch=2 seq=1 error=busy → state compensating, owed 1, tries 1 2, key 1 default/t1/1/1

# Settling the last owed compensation ends a task that is being undone
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec
-- row: settle/undo
settle t1 rec epoch=2 seq=2 receipt=closed → state compensating, holder rec, owed 1, receipt 2 closed
-- row: settle/last
settle t1 rec epoch=2 seq=1 receipt=gone → state compensated, nobody, owed 0, cause rolled_back, receipt 1 gone
show t1 → history created acquired rolled_back reclaimed settled settled compensated

# When the second attempt lapses, recovery undoes it, too
create t1 max-attempts=2 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; tick 60s; reclaim t1 rec; settle t1 rec epoch=2 seq=2
settle t1 rec epoch=2 seq=1 → state planned, owed 0, status 1 standing, status 2 done, attempts 1
tick 1s
acquire t1 b → epoch 3, attempts 2, owed 1, status 1 owed, key 1 default/t1/1/3, status 2 done
tick 60s
reclaim t1 rec → state compensating, epoch 4, owed 1, owes 1 3
settle t1 rec epoch=4 seq=1 → state compensated, cause lapsed

# A compensation that a new attempt owes again starts with zero tries
create t1 max-attempts=2 undo=rm:x; acquire t1 a; try t1 a epoch=1 seq=1; rollback t1 a epoch=1 keep; settle t1 a epoch=1 seq=1 receipt=gone
tick 1s
acquire t1 b → status 1 owed, tries 1 0, owes 1 2

# A new holder adopts inherited compensations, and their keys stay the same
create t1 on-lapse=hold undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; tick 60s; acquire t1 b
-- row: adopt
adopt t1 b epoch=2 → state running, owed 2, owes 1 2, owes 2 2, key 1 default/t1/1/1, key 2 default/t1/2/1, revision 5
complete t1 b epoch=2 → state completed, status 1 void, status 2 void, owed 0

# Adopt changes nothing if no earlier epoch owes a compensation
create t1 undo=rm:x; acquire t1 a
-- row: adopt/nothing
adopt t1 a epoch=1 → revision 2, owes 1 1, unchanged

# A new holder can settle an inherited compensation and then complete the task
create t1 on-lapse=hold undo=rm:x; acquire t1 a; tick 60s; acquire t1 b
settle t1 b epoch=2 seq=1 → state running, owed 0, status 1 done, key 1 default/t1/1/1
complete t1 b epoch=2 → state completed

# A lapsed holder may still adopt and settle, until somebody takes over
create t1 on-lapse=hold undo=rm:x undo=close:y; acquire t1 a; tick 60s; acquire t1 b; tick 60s
adopt t1 b epoch=2 → owes 1 2, owes 2 2
settle t1 b epoch=2 seq=1 → status 1 done
acquire t1 c
settle t1 b epoch=2 seq=2 → refused stale_epoch by c, unchanged
adopt t1 b epoch=2 → refused stale_epoch by c, unchanged

# An operator can waive an owed compensation while the task keeps running
create t1 undo=rm:x; acquire t1 a
-- row: waive
waive t1 seq=1 → state running, holder a, owed 0, status 1 waived

# A compensation that is waived in one attempt is owed again in the next
create t1 max-attempts=2 undo=rm:x; acquire t1 a; waive t1 seq=1
rollback t1 a epoch=1 → state planned, status 1 standing
tick 1s
acquire t1 b → owed 1, owes 1 2

# An operator can waive an earlier attempt's compensation while the task is planned
create t1 on-lapse=hold undo=rm:x; acquire t1 a; release t1 a epoch=1
waive t1 seq=1 → state planned, owed 0, status 1 waived

# Only an owed compensation can be waived
create t1 undo=rm:x
-- row: waive/unknown
waive t1 seq=2 → refused not_found, unchanged
-- row: waive/standing
waive t1 seq=1 → refused wrong_state, unchanged
acquire t1 a; settle t1 a epoch=1 seq=1
-- row: waive/settled
waive t1 seq=1 → refused compensation_settled, unchanged

# Waiving the last owed compensation ends a task that is being undone
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1
-- row: waive/undo
waive t1 seq=1 → state compensating, owed 1, due +0s
-- row: waive/last
waive t1 seq=2 → state compensated, cause rolled_back, status 1 waived, status 2 waived

# An operator can waive a compensation while recovery undoes it, and recovery loses its lease
create t1 max-attempts=2 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec
waive t1 seq=1 → state planned, nobody, not-before +1s, status 1 standing
settle t1 rec epoch=2 seq=1 → refused no_lease, unchanged
