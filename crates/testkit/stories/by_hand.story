# A person settles what they undid by hand, and the record says who
create t1 undo=rm:x undo=close:y; acquire t1 a
-- row: settle/by_hand
settle-by-hand t1 seq=2 receipt=closed_it as=alice → state running, holder a, status 2 done, receipt 2 closed_it, settled-by 2 alice, owed 1
settle t1 a epoch=1 seq=1 → status 1 done, settled-by 1 none

# The last receipt ends the undo of a task that nobody is undoing
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1
-- row: settle/by_hand_undo
settle-by-hand t1 seq=2 → state compensating, owed 1
-- row: settle/by_hand_last
settle-by-hand t1 seq=1 as=alice → state compensated, cause rolled_back, settled-by 1 alice

# While recovery undoes a task, nobody else does
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec
-- row: settle/by_hand_held
settle-by-hand t1 seq=1 → refused leased by rec, unchanged
tick 60s
settle-by-hand t1 seq=1 → state compensated, settled-by 1 operator

# What a released attempt under hold left can be settled by hand
create t1 on-lapse=hold; acquire t1 a; register t1 rm:x a epoch=1; release t1 a epoch=1
settle-by-hand t1 seq=1 → state planned, status 1 done, owed 0

# A receipt by hand says something, whichever command gives it; that of a holder may be empty
create t1 undo=rm:x undo=close:y; acquire t1 a
settle-by-hand t1 seq=1 receipt= reason=why → refused invalid receipt, unchanged
mark-compensated t1 done=1 waive=2 receipt= → refused invalid receipts.receipt, unchanged
settle t1 a epoch=1 seq=2 receipt= → status 2 done
quarantine t1 a epoch=1
retry t1 done=1 receipt= → refused invalid receipts.receipt, unchanged

# Only what is owed is settled by hand
create t1 undo=rm:x
-- row: settle/by_hand_unknown
settle-by-hand t1 seq=9 → refused not_found, unchanged
-- row: settle/by_hand_standing
settle-by-hand t1 seq=1 → refused wrong_state, unchanged
acquire t1 a; settle t1 a epoch=1 seq=1
-- row: settle/by_hand_settled
settle-by-hand t1 seq=1 → refused compensation_settled, unchanged

# A task is marked compensated with a receipt for one and a waiver for another
create t1 undo=rm:x undo=close:y; acquire t1 a
mark-compensated t1 done=1 → refused compensation_owed, unchanged
mark-compensated t1 done=1 waive=2 as=alice → state compensated, cause by_operator, status 1 done, receipt 1 by_hand, settled-by 1 alice, status 2 waived

# While recovery undoes a task, nobody closes it with a receipt; what is waived needs no undo
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec
-- row: mark/compensated_undoing
mark-compensated t1 done=1,2 → refused leased by rec, unchanged
mark-compensated t1 done=1 waive=2 → refused leased by rec, unchanged
mark-compensated t1 done=9 → refused leased by rec, unchanged
settle t1 rec epoch=2 seq=2
mark-compensated t1 done=1 → refused leased by rec, unchanged
tick 60s
mark-compensated t1 done=1 as=alice → state compensated, status 1 done, settled-by 1 alice
create t2 undo=rm:x; acquire t2 a; rollback t2 a epoch=1; reclaim t2 rec
mark-compensated t2 waive=1 → state compensated, status 1 waived

# A holder who undoes its own work is not overtaken by a receipt either
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep
mark-compensated t1 done=1 → refused leased by a, unchanged
create t2 undo=rm:x; acquire t2 a
mark-compensated t2 done=1 → state compensated, status 1 done

# A number is waived or has a receipt, not both
create t1 undo=rm:x; acquire t1 a
mark-compensated t1 done=1 waive=1 → refused invalid receipts, unchanged

# A retry does not copy what was undone by hand
create t1; acquire t1 a; register t1 rm:x a epoch=1; register t1 close:y a epoch=1; quarantine t1 a epoch=1
retry t1 as=t2 done=1 waive=2 → state planned, compensations 0
show t1 → retried-as t2, owed 2

# A retry with receipts for numbers that are not owed is refused
create t1; acquire t1 a; register t1 rm:x a epoch=1; quarantine t1 a epoch=1
retry t1 done=7 → refused not_found, unchanged
retry t1 done=1 as=t2 → state planned
