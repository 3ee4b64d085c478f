# A put without a revision creates the task
-- row: put/new
put t1 priority=5 undo=rm:x → state planned, revision 1, compensations 1, status 1 standing, owed 0
show t1 → history created

# A put with revision 0 also creates the task
put t1 revision=0 → state planned, revision 1

# A put can create a task that has already ended
-- row: put/new_ended
put t1 state=completed result=7 created-at=-1h finished-at=-1m → state completed, cause by_operator, result 7, revision 2
show t1 → history created completed

# A new task that is put as failed owes its compensation
put t1 state=failed reason=broken undo=rm:x → state failed, reason broken, owed 1, status 1 owed, owes 1 0, key 1 default/t1/1/0

# A new task can't be put as failed without a compensation
-- row: put/new_failed_bare
put t1 state=failed reason=broken → refused compensation_required
show t1 → absent
put t1 state=failed reason=broken undo=none:nothing → state failed, owed 0, compensations 1, status 1 void

# A put that contradicts itself is refused, and the refusal names the field
-- row: put/new_contradicts
put t1 result=7 → refused invalid result
put t1 finished-at=-1m → refused invalid finished_at
put t1 state=completed created-at=-1m finished-at=-1h → refused invalid finished_at
put t1 state=quarantined → refused invalid terminal_reason
show t1 → absent

# A put with a revision does not create a task
-- row: put/not_found
put t1 revision=1 → refused not_found
show t1 → absent

# A put can't create a task with the saga id of another task
create t1 saga=s
-- row: put/new_taken
put t2 saga=s → refused exists
show t2 → absent

# A put can't create a running, dispatched or compensating task
-- row: put/new_held
put t1 state=running → refused wrong_state
put t1 state=dispatched → refused wrong_state
put t1 state=compensating → refused wrong_state
show t1 → absent

# A put without a revision can't change an existing task
create t1
-- row: put/exists
put t1 priority=5 → refused exists, unchanged
put t1 revision=0 priority=5 → refused exists, unchanged

# A put can change a planned task's fields and policy, and add compensations
create t1
-- row: put/planned
put t1 revision=1 queue=q kind=k priority=5 payload={"a":1} label=team:x not-before=+10s max-attempts=3 undo=rm:x → state planned, revision 3, not-before +10s, compensations 1, status 1 standing
show t1 → history created changed registered
claim q a n=1 → tasks none
tick 10s
claim q a n=1 → tasks t1

# A put that changes nothing adds no event
create t1 priority=5 undo=rm:x
put t1 revision=1 priority=5 restate=1 → revision 1, unchanged

# A field that a put leaves out is reset to its default
create t1 not-before=+1h
put t1 revision=1 → not-before none, revision 2

# A put with a revision other than the stored one is refused
create t1; register t1 rm:x
-- row: put/unread
put t1 revision=1 restate=1 priority=5 → refused stale_write, unchanged
put t1 revision=3 restate=1 priority=5 → refused stale_write, unchanged
put t1 revision=2 restate=1 priority=5 → revision 3

# A put can't change the ids, epoch, attempts or creation time
create t1 saga=s undo=rm:x
-- row: put/contradicts
put t1 revision=1 restate=1 saga=other → refused invalid saga_id, unchanged
put t1 revision=1 restate=1 epoch=1 → refused invalid epoch, unchanged
put t1 revision=1 restate=1 attempts=1 → refused invalid attempts, unchanged
put t1 revision=1 restate=1 created-at=-1h → refused invalid created_at, unchanged
put t1 revision=1 restate=1 saga=s epoch=0 attempts=0 priority=5 → revision 2

# A put can't remove a compensation
create t1 undo=rm:x undo=close:y
put t1 revision=1 → refused invalid compensations, unchanged
put t1 revision=1 restate=2 → refused invalid compensations, unchanged

# A put can't clear or change a lease, not even a lapsed one
create t1; acquire t1 a
-- row: put/leased
put t1 revision=2 priority=5 → refused leased by a, unchanged
put t1 revision=2 state=completed → refused leased by a, unchanged
tick 60s
put t1 revision=2 state=running priority=5 → refused leased by a, unchanged

# A put can't change a reserved task, not even when the reservation has lapsed
create t1; dispatch t1 a
-- row: put/reserved
put t1 revision=2 priority=5 → refused reserved by a, unchanged
tick 60s
put t1 revision=2 state=dispatched priority=5 → refused reserved by a, unchanged

# A put can't change a task while a worker holds the undo lease
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1 keep
-- row: put/undo_leased
put t1 revision=3 restate=1 state=compensating priority=5 → refused leased by a, unchanged
put t1 revision=3 restate=1 priority=5 → refused leased by a, unchanged

# A put can change the policy of a task that waits for undo, not its state or compensations
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1
-- row: put/undo
put t1 revision=3 restate=1 state=compensating max-attempts=3 → state compensating, revision 4, owed 1, due +0s
-- row: put/undo_state
put t1 revision=4 restate=1 state=planned max-attempts=3 → refused wrong_state, unchanged
put t1 revision=4 restate=1 undo=rm:y state=compensating max-attempts=3 → refused wrong_state, unchanged
put t1 revision=3 restate=1 state=compensating → refused stale_write, unchanged

# A put can complete a planned task
create t1
-- row: put/ends
put t1 revision=1 state=completed result=7 → state completed, cause by_operator, result 7, revision 2
show t1 → history created completed

# A put can quarantine a planned task
create t1 undo=rm:x
put t1 revision=1 restate=1 state=quarantined reason=odd → state quarantined, cause by_operator, reason odd, status 1 void

# A put can't fail a planned task without a compensation
create t1
-- row: put/failed_bare
put t1 revision=1 state=failed reason=broken → refused compensation_required, unchanged
put t1 revision=1 state=failed reason=broken undo=rm:x → state failed, owed 1, status 1 owed, owes 1 0, revision 2

# A put that fails a planned task voids its standing compensation
create t1 undo=rm:x
put t1 revision=1 restate=1 state=failed reason=broken → state failed, compensations 1, status 1 void, owed 0

# A put can't lease, reserve or undo a task
create t1
-- row: put/held
put t1 revision=1 state=running → refused wrong_state, unchanged
put t1 revision=1 state=dispatched → refused wrong_state, unchanged
put t1 revision=1 state=compensating → refused wrong_state, unchanged

# A put can't end a task as compensated while a compensation is owed
create t1 on-lapse=hold; acquire t1 a; register t1 rm:x a epoch=1; release t1 a epoch=1
-- row: put/compensated_owing
put t1 on-lapse=hold revision=5 restate=1 state=compensated reason=cleaned → refused compensation_owed, unchanged
waive t1 seq=1
put t1 on-lapse=hold revision=6 restate=1 state=compensated reason=cleaned → state compensated, cause by_operator, status 1 waived

# A put can't change the state or the fields of an ended task
create t1; acquire t1 a; complete t1 a epoch=1
-- row: put/over
put t1 revision=3 → refused terminal, unchanged
put t1 revision=3 state=failed reason=late undo=rm:x → refused terminal, unchanged
put t1 revision=3 state=completed priority=5 → refused terminal, unchanged

# A put with a revision from before the end can't change an ended task
create t1; acquire t1 a; fail t1 a epoch=1 undo=none:nothing
put t1 revision=1 state=completed restate=1 → refused terminal, unchanged

# A put can change only the terminal reason of an ended task
create t1; mark-quarantined t1 reason=odd
-- row: put/words
put t1 revision=2 state=quarantined reason=disk_full → state quarantined, reason disk_full, revision 3
-- row: put/words_unread
put t1 revision=2 state=quarantined reason=network → refused stale_write, unchanged
put t1 revision=3 state=quarantined reason=network priority=5 → refused terminal, unchanged
put t1 revision=3 state=quarantined reason=disk_full → revision 3, unchanged
show t1 → history created quarantined annotated

# A put can't create a task with an epoch or attempts above 0
put t1 epoch=9 → refused invalid epoch
put t1 attempts=2 → refused invalid attempts
show t1 → absent
put t1 epoch=0 attempts=0 → state planned

# A new task that is put as failed owes all of its compensations
put t1 state=failed reason=broken undo=rm:x undo=close:y → state failed, compensations 2, owed 2, status 1 owed
