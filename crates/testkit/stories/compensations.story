# What is registered before a lease stands until an attempt begins
create t1
-- row: register/standing
register t1 rm:x → state planned, compensations 1, status 1 standing, owed 0, revision 2
dispatch t1 a
register t1 close:y → state dispatched, compensations 2, status 2 standing, owed 0
acquire t1 a → owed 2, owes 1 1, owes 2 1

# What a holder registers is owed at once, before the effect
create t1; acquire t1 a
-- row: register
register t1 rm:x a epoch=1 → state running, compensations 1, status 1 owed, owes 1 1, key 1 default/t1/1/1, revision 3

# Kind none is a record, and never owed
create t1; acquire t1 a
register t1 none:nothing a epoch=1 → compensations 1, status 1 void, owed 0
settle t1 a epoch=1 seq=1 → refused compensation_settled, unchanged

# Who holds no lease can't register for the one who does
create t1; acquire t1 a
-- row: register/by_lease
register t1 rm:x → refused leased by a, unchanged
register t1 rm:x b epoch=1 → refused wrong_owner by a, unchanged

# Before a lease nobody registers under one
create t1
-- row: fence/unheld_register
register t1 rm:x a epoch=1 → refused no_lease, unchanged

# A lapsed holder can't register what it is about to do
create t1; acquire t1 a; tick 60s
register t1 rm:x a epoch=1 → refused lease_lapsed by a, unchanged

# While a task is undone nothing is registered
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep
-- row: register/undo
register t1 rm:y a epoch=1 → refused wrong_state by a, unchanged
-- row: register/undo_by_none
register t1 rm:y → refused wrong_state by a, unchanged
release t1 a epoch=1
register t1 rm:y → refused wrong_state, unchanged
register t1 rm:y a epoch=1 → refused no_lease, unchanged

# A task has room for so many compensations and no more
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

# A holder that undid an effect of its own goes on
create t1; acquire t1 a; register t1 rm:x a epoch=1
-- row: settle
settle t1 a epoch=1 seq=1 receipt=gone → state running, holder a, owed 0, status 1 done, receipt 1 gone
complete t1 a epoch=1 → state completed, status 1 done, receipt 1 gone

# What is settled is not settled again
create t1 undo=rm:x; acquire t1 a; settle t1 a epoch=1 seq=1 receipt=first
-- row: settle/settled
settle t1 a epoch=1 seq=1 receipt=second → refused compensation_settled by a, unchanged
try t1 a epoch=1 seq=1 → refused compensation_settled by a, unchanged

# A number that no compensation has is not found
create t1 undo=rm:x; acquire t1 a
-- row: settle/unknown
settle t1 a epoch=1 seq=2 → refused not_found by a, unchanged
try t1 a epoch=1 seq=2 → refused not_found by a, unchanged

# Only what is owed is settled, not what stands
create t1 on-lapse=hold undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; settle t1 a epoch=1 seq=1; release t1 a epoch=1
cancel t1 → state compensating, status 1 standing, status 2 owed
reclaim t1 rec
-- row: settle/standing
settle t1 rec epoch=2 seq=1 → refused wrong_state by rec, unchanged
try t1 rec epoch=2 seq=1 → refused wrong_state by rec, unchanged
settle t1 rec epoch=2 seq=2 → state compensated, status 1 void, status 2 done

# An undo that was tried in vain stays owed, under the same key
create t1 undo=rm:x; acquire t1 a
-- row: try
try t1 a epoch=1 seq=1 error=busy → state running, owed 1, status 1 owed, tries 1 1, revision 3
rollback t1 a epoch=1; reclaim t1 rec
try t1 rec epoch=2 seq=1 error=busy → state compensating, owed 1, tries 1 2, key 1 default/t1/1/1

# The last undo of a task settles where it goes
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec
-- row: settle/undo
settle t1 rec epoch=2 seq=2 receipt=closed → state compensating, holder rec, owed 1, receipt 2 closed
-- row: settle/last
settle t1 rec epoch=2 seq=1 receipt=gone → state compensated, nobody, owed 0, cause rolled_back, receipt 1 gone
show t1 → history created acquired rolled_back reclaimed settled settled compensated

# The second attempt's crash is undone, too
create t1 max-attempts=2 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; tick 60s; reclaim t1 rec; settle t1 rec epoch=2 seq=2
settle t1 rec epoch=2 seq=1 → state planned, owed 0, status 1 standing, status 2 done, attempts 1
tick 1s
acquire t1 b → epoch 3, attempts 2, owed 1, status 1 owed, key 1 default/t1/1/3, status 2 done
tick 60s
reclaim t1 rec → state compensating, epoch 4, owed 1, owes 1 3
settle t1 rec epoch=4 seq=1 → state compensated, cause lapsed

# What a new attempt owes anew begins without tries and receipt
create t1 max-attempts=2 undo=rm:x; acquire t1 a; try t1 a epoch=1 seq=1; rollback t1 a epoch=1 keep; settle t1 a epoch=1 seq=1 receipt=gone
tick 1s
acquire t1 b → status 1 owed, tries 1 0, owes 1 2

# A successor adopts what it inherits, and the key stays
create t1 on-lapse=hold undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; tick 60s; acquire t1 b
-- row: adopt
adopt t1 b epoch=2 → state running, owed 2, owes 1 2, owes 2 2, key 1 default/t1/1/1, key 2 default/t1/2/1, revision 5
complete t1 b epoch=2 → state completed, status 1 void, status 2 void, owed 0

# Where nothing is owed from before there is nothing to adopt
create t1 undo=rm:x; acquire t1 a
-- row: adopt/nothing
adopt t1 a epoch=1 → revision 2, owes 1 1, unchanged

# A successor may undo what it inherits
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

# A person may waive what is owed, and the work goes on
create t1 undo=rm:x; acquire t1 a
-- row: waive
waive t1 seq=1 → state running, holder a, owed 0, status 1 waived

# What was waived in one attempt is owed again by the next
create t1 max-attempts=2 undo=rm:x; acquire t1 a; waive t1 seq=1
rollback t1 a epoch=1 → state planned, status 1 standing
tick 1s
acquire t1 b → owed 1, owes 1 2

# What an earlier attempt left may be waived while the task waits
create t1 on-lapse=hold undo=rm:x; acquire t1 a; release t1 a epoch=1
waive t1 seq=1 → state planned, owed 0, status 1 waived

# Only what is owed is waived
create t1 undo=rm:x
-- row: waive/unknown
waive t1 seq=2 → refused not_found, unchanged
-- row: waive/standing
waive t1 seq=1 → refused wrong_state, unchanged
acquire t1 a; settle t1 a epoch=1 seq=1
-- row: waive/settled
waive t1 seq=1 → refused compensation_settled, unchanged

# Waiving the last one of a task that is undone settles where it goes
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1
-- row: waive/undo
waive t1 seq=1 → state compensating, owed 1, due +0s
-- row: waive/last
waive t1 seq=2 → state compensated, cause rolled_back, status 1 waived, status 2 waived

# A person may waive under recovery's hands, and recovery is told that it lost
create t1 max-attempts=2 undo=rm:x; acquire t1 a; tick 60s; reclaim t1 rec
waive t1 seq=1 → state planned, nobody, not-before +1s, status 1 standing
settle t1 rec epoch=2 seq=1 → refused no_lease, unchanged
