# A note changes nothing but the history
create t1; acquire t1 a
-- row: annotate
annotate t1 note=looked_at_it → state running, holder a, revision 3
show t1 → history created acquired annotated

# A note is the only thing that an ended task still takes
create t1; mark-quarantined t1 reason=odd
-- row: annotate/ended_badly
annotate t1 note=looked_at_it → state quarantined, reason odd, revision 3

# What was completed takes a note, too
create t1; mark-completed t1
-- row: annotate/completed
annotate t1 note=looked_at_it → state completed, dismissed none, revision 3

# A person may say that nobody has to look at an end any more
create t1; mark-quarantined t1 reason=odd
annotate t1 dismiss note=seen as=alice → state quarantined, dismissed alice, reason odd, revision 3
show t1 → history created quarantined annotated
annotate t1 dismiss note=seen_again as=bob → dismissed bob
annotate t1 note=a_remark as=carol → dismissed bob
retry t1 as=t2 → dismissed none
show t1 → dismissed bob, retried-as t2

# A dismissal says why
create t1; mark-quarantined t1
annotate t1 dismiss → refused invalid note, unchanged
annotate t1 dismiss terminal-reason=disk_full → refused invalid note, unchanged
annotate t1 dismiss note=seen terminal-reason=disk_full as=alice → dismissed alice, reason disk_full

# There is nothing to dismiss where nobody has to look
create t1; create t2; mark-completed t2
annotate t1 dismiss note=seen → refused wrong_state, unchanged
-- row: annotate/nothing_to_dismiss
annotate t2 dismiss note=seen → refused wrong_state, unchanged

# A person may correct the reason for the end
create t1; mark-quarantined t1 reason=odd
annotate t1 terminal-reason=disk_full → state quarantined, cause by_operator, reason disk_full, revision 3
annotate t1 note=saw_the_logs terminal-reason=disk_of_host_7 → reason disk_of_host_7, revision 4

# There is no reason to correct of an end that has not come
create t1
-- row: annotate/no_end
annotate t1 note=why terminal-reason=odd → refused wrong_state, unchanged

# A note must say something
create t1
annotate t1 → refused invalid note, unchanged

# A retry is a new task like the old one, which only names it
create t1 payload={"a":1} undo=rm:x; mark-quarantined t1 reason=odd
-- row: retry
retry t1 as=t2 → state planned, retry-of t1, saga t2, revision 1, epoch 0, attempts 0, compensations 1, status 1 standing, owed 0
show t1 → state quarantined, reason odd, retried-as t2, revision 3, status 1 void, history created quarantined retried
show t2 → history created
acquire t2 a → state running, epoch 1, attempts 1, key 1 default/t2/1/1

# A retry has the policy, queue and priority of the old task, and does not wait
create t1 queue=q priority=9 max-attempts=2 not-before=+1h ttl=30s; create t3 queue=q priority=5; mark-quarantined t1
retry t1 as=t2 → not-before none
claim q a n=1 → tasks t2
show t2 → expires +30s
rollback t2 a epoch=1 → state planned, not-before +1s

# A name for the new task is made where none is given
create t1; cancel t1
retry t1 → state planned, retry-of t1, revision 1

# What is still owed goes with the retry under its old key, and is undone first
create t1 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; settle t1 a epoch=1 seq=1; quarantine t1 a epoch=1
retry t1 as=t2 → state compensating, nobody, due +0s, compensations 2, owed 1, status 1 standing, status 2 owed, owes 2 0, key 2 default/t1/2/1
reclaim t2 rec → state compensating, holder rec, epoch 1, attempts 0
settle t2 rec epoch=1 seq=1 → refused wrong_state by rec, unchanged
settle t2 rec epoch=1 seq=2 → state planned, attempts 0, not-before none, status 1 standing, status 2 done
acquire t2 b → epoch 2, attempts 1, owed 1, key 1 default/t2/1/2

# What was registered before a lease and is still owed stands once it is undone
create t1 undo=rm:x; acquire t1 a; fail t1 a epoch=1
retry t1 as=t2 → state compensating, owed 1, status 1 owed, key 1 default/t1/1/1
reclaim t2 rec
settle t2 rec epoch=1 seq=1 → state planned, status 1 standing, owed 0

# What is waived with the retry is not owed by the new task, and the old one stays as it is
create t1 undo=rm:x; acquire t1 a; register t1 close:y a epoch=1; fail t1 a epoch=1
retry t1 as=t2 waive=1,2 → state planned, compensations 1, status 1 standing, owed 0
show t1 → owed 2, status 1 owed, status 2 owed

# What one attempt registered and undid does not go with the retry
create t1; acquire t1 a; register t1 rm:x a epoch=1; settle t1 a epoch=1 seq=1; fail t1 a epoch=1
retry t1 as=t2 → state planned, compensations 0

# What the failing itself left to undo goes with the retry
create t1; mark-failed t1 undo=rm:x
retry t1 as=t2 → state compensating, owed 1, key 1 default/t1/1/0

# A retry of what was said to need no undo begins planned
create t1; acquire t1 a; fail t1 a epoch=1 undo=none:nothing
retry t1 as=t2 → state planned, owed 0

# A retry that is undone first may be cancelled like any other
create t1 undo=rm:x; acquire t1 a; fail t1 a epoch=1; retry t1 as=t2
cancel t2 → state compensating, cancel asked
reclaim t2 rec; settle t2 rec epoch=1 seq=1
show t2 → state compensated, cause cancelled

# A retry may be retried
create t1; cancel t1; retry t1 as=t2; cancel t2
retry t2 as=t3 → state planned, retry-of t2

# A task is retried once
create t1; cancel t1; retry t1 as=t2
-- row: retry/was_retried
retry t1 as=t3 → refused wrong_state, unchanged
show t3 → absent

# A retry does not take the name of a task, nor of a saga
create t1; cancel t1; create t2 saga=s
-- row: retry/taken
retry t1 as=t2 → refused exists, unchanged
retry t1 as=s → refused exists, unchanged
retry t1 as=t3 → state planned

# A retry does not take its own name
create t1; cancel t1
retry t1 as=t1 → refused invalid id, unchanged

# Only what is owed is waived with a retry
create t1 undo=rm:x undo=close:y; acquire t1 a; settle t1 a epoch=1 seq=1; fail t1 a epoch=1
-- row: retry/waives_settled
retry t1 as=t2 waive=1 → refused compensation_settled, unchanged
-- row: retry/waives_unknown
retry t1 as=t2 waive=3 → refused not_found, unchanged
retry t1 as=t2 waive=2,2 → refused invalid waive, unchanged
show t2 → absent

# What stood when the task ended is void, and is not waived with a retry
create t1 undo=rm:x; cancel t1
retry t1 as=t2 waive=1 → refused compensation_settled, unchanged

# What is done is not retried
create t1; acquire t1 a; complete t1 a epoch=1
-- row: retry/completed
retry t1 as=t2 → refused wrong_state, unchanged
show t2 → absent

# What has not ended is not retried
create t1; acquire t1 a
-- row: retry/open
retry t1 as=t2 → refused wrong_state, unchanged
show t2 → absent
