# An operator can mark a task completed while a worker holds its lease
create t1 undo=rm:x; acquire t1 a
-- row: mark/completed
mark-completed t1 reason=saw_it result=7 → state completed, cause by_operator, reason saw_it, result 7, nobody, owed 0, status 1 void, revision 3
heartbeat t1 a epoch=1 → refused terminal, unchanged

# Marking a task completed voids even a compensation that an older epoch owes
create t1 on-lapse=hold undo=rm:x; acquire t1 a; tick 60s; acquire t1 b
mark-completed t1 → state completed, owed 0, status 1 void

# A task that is marked failed still owes its registered compensations
create t1 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1
-- row: mark/failed
mark-failed t1 reason=no_use → state failed, cause by_operator, reason no_use, compensations 2, owed 2, status 1 owed, status 2 owed

# Marking a planned task failed voids its standing compensation
create t1 undo=rm:x
mark-failed t1 → state failed, compensations 1, status 1 void, owed 0, revision 2

# A task is not marked failed without a compensation record
create t1
-- row: mark/failed_bare
mark-failed t1 → refused compensation_required, unchanged
mark-failed t1 undo=rm:x → state failed, compensations 1, owed 1, owes 1 0, key 1 default/t1/1/0

# An operator can mark a task failed with nothing to undo
create t1; acquire t1 a
mark-failed t1 undo=none:nothing → state failed, owed 0, status 1 void

# A task that owes nothing may be marked compensated
create t1 undo=rm:x
-- row: mark/compensated
mark-compensated t1 reason=not_needed → state compensated, cause by_operator, reason not_needed, status 1 void, revision 2

# A task that owes compensations is marked compensated only if the mark waives each one
create t1 undo=rm:x undo=close:y; acquire t1 a
-- row: mark/compensated_owing
mark-compensated t1 → refused compensation_owed, unchanged
mark-compensated t1 waive=1 → refused compensation_owed, unchanged
mark-compensated t1 waive=1,2 → state compensated, cause by_operator, owed 0, status 1 waived, status 2 waived, nobody

# An operator can end a partly undone task by waiving its last owed compensation
create t1 undo=rm:x undo=close:y; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec; settle t1 rec epoch=2 seq=2
mark-compensated t1 waive=1 → state compensated, status 1 waived, status 2 done, nobody
settle t1 rec epoch=2 seq=1 → refused terminal, unchanged

# A mark can waive only owed compensations
create t1 undo=rm:x
-- row: mark/waives_standing
mark-compensated t1 waive=1 → refused wrong_state, unchanged
-- row: mark/waives_unknown
mark-compensated t1 waive=2 → refused not_found, unchanged
acquire t1 a; settle t1 a epoch=1 seq=1
-- row: mark/waives_settled
mark-compensated t1 waive=1 → refused compensation_settled, unchanged
mark-compensated t1 → state compensated, status 1 done

# A mark can't waive the same compensation twice
create t1 undo=rm:x; acquire t1 a
mark-compensated t1 waive=1,1 → refused invalid waive, unchanged

# An operator can quarantine any task that has not ended, and owed compensations stay owed
create t1; create t2; create t3 undo=rm:x; create t4 undo=rm:x; dispatch t2 a; acquire t3 a; acquire t4 a; rollback t4 a epoch=1
-- row: mark/quarantined
mark-quarantined t1 reason=odd → state quarantined, cause by_operator, reason odd
mark-quarantined t2 → state quarantined, cause by_operator
mark-quarantined t3 → state quarantined, nobody, owed 1, status 1 owed
mark-quarantined t4 → state quarantined, owed 1

# A running task can be marked completed after a cancel
create t1; acquire t1 a; cancel t1
mark-completed t1 → state completed, cause by_operator

# A mark can end a reserved task and a task that is being undone
create t1; create t2 undo=rm:x; dispatch t1 a; acquire t2 a; tick 60s; reclaim t2 rec
mark-completed t1 → state completed, cause by_operator
mark-failed t2 → state failed, owed 1, nobody
