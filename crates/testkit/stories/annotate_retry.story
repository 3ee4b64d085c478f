# A note changes nothing but the history
create t1; acquire t1 a
-- row: annotate
annotate t1 note=looked_at_it → state running, holder a, revision 3
show t1 → history created acquired annotated

# An operator can add a note to a quarantined task
create t1; mark-quarantined t1 reason=odd
-- row: annotate/ended_badly
annotate t1 note=looked_at_it → state quarantined, reason odd, revision 3

# An operator can add a note to a completed task
create t1; mark-completed t1
-- row: annotate/completed
annotate t1 note=looked_at_it → state completed, dismissed none, revision 3

# An operator can dismiss a quarantined task; a retry does not copy the dismissal
create t1; mark-quarantined t1 reason=odd
annotate t1 dismiss note=seen as=alice → state quarantined, dismissed alice, reason odd, revision 3
show t1 → history created quarantined annotated
annotate t1 dismiss note=seen_again as=bob → dismissed bob
annotate t1 note=a_remark as=carol → dismissed bob
retry t1 as=t2 → dismissed none
show t1 → dismissed bob, retried-as t2

# A dismissal needs a note
create t1; mark-quarantined t1
annotate t1 dismiss → refused invalid note, unchanged
annotate t1 dismiss terminal-reason=disk_full → refused invalid note, unchanged
annotate t1 dismiss note=seen terminal-reason=disk_full as=alice → dismissed alice, reason disk_full

# A planned or completed task can't be dismissed
create t1; create t2; mark-completed t2
annotate t1 dismiss note=seen → refused wrong_state, unchanged
-- row: annotate/nothing_to_dismiss
annotate t2 dismiss note=seen → refused wrong_state, unchanged

# An operator can correct the terminal reason of a quarantined task
create t1; mark-quarantined t1 reason=odd
annotate t1 terminal-reason=disk_full → state quarantined, cause by_operator, reason disk_full, revision 3
annotate t1 note=saw_the_logs terminal-reason=disk_of_host_7 → reason disk_of_host_7, revision 4

# A task that has not ended has no terminal reason to correct
create t1
-- row: annotate/no_end
annotate t1 note=why terminal-reason=odd → refused wrong_state, unchanged

# An empty annotation is refused
create t1
annotate t1 → refused invalid note, unchanged

# A retry creates a planned task, and the old task only records its id
create t1 payload={"a":1} undo=rm:x; mark-quarantined t1 reason=odd
-- row: retry
retry t1 as=t2 → state planned, retry-of t1, saga t2, revision 1, epoch 0, attempts 0, compensations 1, status 1 standing, owed 0
show t1 → state quarantined, reason odd, retried-as t2, revision 3, status 1 void, history created quarantined retried
show t2 → history created
acquire t2 a → state running, epoch 1, attempts 1, key 1 default/t2/1/1

# A retry copies queue, priority and policy, but not the not-before time
create t1 queue=q priority=9 max-attempts=2 not-before=+1h ttl=30s; create t3 queue=q priority=5; mark-quarantined t1
retry t1 as=t2 → not-before none
claim q a n=1 → tasks t2
show t2 → expires +30s
rollback t2 a epoch=1 → state planned, not-before +1s

# A retry without an id generates one for the new task
create t1; cancel t1
retry t1 → state planned, retry-of t1, revision 1

# A retry copies owed compensations with their keys, and recovery undoes them first
create t1 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; settle t1 a epoch=1 seq=1; quarantine t1 a epoch=1
retry t1 as=t2 → state compensating, nobody, due +0s, compensations 2, owed 1, status 1 standing, status 2 owed, owes 2 0, key 2 default/t1/2/1
reclaim t2 rec → state compensating, holder rec, epoch 1, attempts 0
settle t2 rec epoch=1 seq=1 → refused wrong_state by rec, unchanged
settle t2 rec epoch=1 seq=2 → state planned, attempts 0, not-before none, status 1 standing, status 2 done
acquire t2 b → epoch 2, attempts 1, owed 1, key 1 default/t2/1/2

# In a retry, an owed compensation from before the lease stands again after its undo
create t1 undo=rm:x; acquire t1 a; fail t1 a epoch=1
retry t1 as=t2 → state compensating, owed 1, status 1 owed, key 1 default/t1/1/1
reclaim t2 rec
settle t2 rec epoch=1 seq=1 → state planned, status 1 standing, owed 0

# The new task does not owe compensations that the retry waives; the old task still does
create t1 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; fail t1 a epoch=1
retry t1 as=t2 waive=1,2 → state planned, compensations 1, status 1 standing, owed 0
show t1 → owed 2, status 1 owed, status 2 owed

# A retry does not copy a settled compensation that was registered under a lease
create t1; acquire t1 a; register t1 rm:x a epoch=1; settle t1 a epoch=1 seq=1; fail t1 a epoch=1
retry t1 as=t2 → state planned, compensations 0

# A retry copies the compensation that was registered when the task was marked failed
create t1; mark-failed t1 undo=rm:x
retry t1 as=t2 → state compensating, owed 1, key 1 default/t1/1/0

# A retry of a task that failed with nothing to undo starts as planned
create t1; acquire t1 a; fail t1 a epoch=1 undo=none:nothing
retry t1 as=t2 → state planned, owed 0

# A cancelled retry with an owed compensation ends after recovery undoes it
create t1 undo=rm:x; acquire t1 a; fail t1 a epoch=1; retry t1 as=t2
cancel t2 → state compensating, cancel asked
reclaim t2 rec; settle t2 rec epoch=1 seq=1
show t2 → state compensated, cause cancelled

# A retry may be retried
create t1; cancel t1; retry t1 as=t2; cancel t2
retry t2 as=t3 → state planned, retry-of t2

# A task can be retried only once
create t1; cancel t1; retry t1 as=t2
-- row: retry/was_retried
retry t1 as=t3 → refused wrong_state, unchanged
show t3 → absent

# A retry can't use the id of an existing task or saga
create t1; cancel t1; create t2 saga=s
-- row: retry/taken
retry t1 as=t2 → refused exists, unchanged
retry t1 as=s → refused exists, unchanged
retry t1 as=t3 → state planned

# A retry can't use the id of the old task
create t1; cancel t1
retry t1 as=t1 → refused invalid id, unchanged

# A retry can waive only owed compensations, each only once
create t1 undo=rm:x undo=close:y; acquire t1 a; settle t1 a epoch=1 seq=1; fail t1 a epoch=1
-- row: retry/waives_settled
retry t1 as=t2 waive=1 → refused compensation_settled, unchanged
-- row: retry/waives_unknown
retry t1 as=t2 waive=3 → refused not_found, unchanged
retry t1 as=t2 waive=2,2 → refused invalid waive, unchanged
show t2 → absent

# A retry can't waive a standing compensation that became void when the task ended
create t1 undo=rm:x; cancel t1
retry t1 as=t2 waive=1 → refused compensation_settled, unchanged

# A completed task can't be retried
create t1; acquire t1 a; complete t1 a epoch=1
-- row: retry/completed
retry t1 as=t2 → refused wrong_state, unchanged
show t2 → absent

# A task that has not ended can't be retried
create t1; acquire t1 a
-- row: retry/open
retry t1 as=t2 → refused wrong_state, unchanged
show t2 → absent
