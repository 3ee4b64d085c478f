# A person who knows that it is done may mark it completed, under anybody's lease
create t1 undo=rm:x; acquire t1 a
-- row: mark/completed
mark-completed t1 reason=saw_it result=7 → state completed, cause by_operator, reason saw_it, result 7, nobody, owed 0, status 1 void, revision 3
heartbeat t1 a epoch=1 → refused terminal, unchanged

# Marking completed makes void even what an older lease owes
create t1 on-lapse=hold undo=rm:x; acquire t1 a; tick 60s; acquire t1 b
mark-completed t1 → state completed, owed 0, status 1 void

# Marking failed keeps what was registered
create t1 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1
-- row: mark/failed
mark-failed t1 reason=no_use → state failed, cause by_operator, reason no_use, compensations 2, owed 2, status 1 owed, status 2 owed

# A task that nobody began and that is marked failed owes nothing that stood
create t1 undo=rm:x
mark-failed t1 → state failed, compensations 1, status 1 void, owed 0, revision 2

# A task is not marked failed without a compensation record
create t1
-- row: mark/failed_bare
mark-failed t1 → refused compensation_required, unchanged
mark-failed t1 undo=rm:x → state failed, compensations 1, owed 1, owes 1 0, key 1 default/t1/1/0

# A person may say that there is nothing to undo
create t1; acquire t1 a
mark-failed t1 undo=none:nothing → state failed, owed 0, status 1 void

# A task that owes nothing may be marked compensated
create t1 undo=rm:x
-- row: mark/compensated
mark-compensated t1 reason=not_needed → state compensated, cause by_operator, reason not_needed, status 1 void, revision 2

# A task is not marked compensated while something is owed, unless each is waived with it
create t1 undo=rm:x undo=close:y; acquire t1 a
-- row: mark/compensated_owing
mark-compensated t1 → refused compensation_owed, unchanged
mark-compensated t1 waive=1 → refused compensation_owed, unchanged
mark-compensated t1 waive=1,2 → state compensated, cause by_operator, owed 0, status 1 waived, status 2 waived, nobody

# A task whose undo ran in part may be closed by waiving the rest
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec; settle t1 rec epoch=2 seq=2
mark-compensated t1 waive=1 → state compensated, status 1 waived, status 2 done, nobody
settle t1 rec epoch=2 seq=1 → refused terminal, unchanged

# Only what is owed is waived with a mark
create t1 undo=rm:x
-- row: mark/waives_standing
mark-compensated t1 waive=1 → refused wrong_state, unchanged
-- row: mark/waives_unknown
mark-compensated t1 waive=2 → refused not_found, unchanged
acquire t1 a; settle t1 a epoch=1 seq=1
-- row: mark/waives_settled
mark-compensated t1 waive=1 → refused compensation_settled, unchanged
mark-compensated t1 → state compensated, status 1 done

# A compensation is waived once
create t1 undo=rm:x; acquire t1 a
mark-compensated t1 waive=1,1 → refused invalid waive, unchanged

# A person may park any task that is open, and what is owed stays owed
create t1; create t2; create t3 undo=rm:x; create t4 undo=rm:x; dispatch t2 a; acquire t3 a; acquire t4 a; rollback t4 a epoch=1
-- row: mark/quarantined
mark-quarantined t1 reason=odd → state quarantined, cause by_operator, reason odd
mark-quarantined t2 → state quarantined, cause by_operator
mark-quarantined t3 → state quarantined, nobody, owed 1, status 1 owed
mark-quarantined t4 → state quarantined, owed 1

# A mark ends a task whose cancel was asked as the mark says
create t1; acquire t1 a; cancel t1
mark-completed t1 → state completed, cause by_operator

# A mark ends what is reserved and what is undone
create t1; create t2 undo=rm:x; dispatch t1 a; acquire t2 a; tick 60s; reclaim t2 rec
mark-completed t1 → state completed, cause by_operator
mark-failed t2 → state failed, owed 1, nobody
