# A created task is planned and has no holder
-- row: create
create t1 → state planned, epoch 0, attempts 0, revision 1, owed 0, nobody, not-before none
show t1 → history created

# A saga has the id of its task unless the creator gives another one
create t1 → saga t1
create t2 saga=s → saga s

# Creating a task whose id exists is refused, and the stored one is untouched
create t1 payload={"a":1} priority=5
-- row: create/exists
create t1 payload={"a":2} → refused exists, unchanged

# A task can't be created with the id of a running task
create t1; acquire t1 a
create t1 → refused exists, unchanged

# A task can't be created with the id of a task that has ended
create t1; cancel t1
create t1 → refused exists, unchanged

# Creating a task whose saga id exists is refused
create t1 saga=s
-- row: create/taken
create t2 saga=s → refused exists
show t2 → absent
show t1 → saga s, revision 1

# A task without a saga id is refused if another saga already uses its id
create t1 saga=t2
create t2 → refused exists
show t2 → absent
create t2 saga=other → saga other

# The id of a task is its saga's, too, unless that was given another one
create t1
create t2 saga=t1 → refused exists
create t3 saga=s
create t4 saga=t3 → saga t3
create t5 saga=t3 → refused exists
show t5 → absent

# A compensation that is given at creation is standing and not yet owed
create t1 undo=rm:x undo=close:y → compensations 2, owed 0, status 1 standing, status 2 standing

# A compensation of kind none says that there is nothing to undo
create t1 undo=none:nothing → compensations 1, owed 0, status 1 void
acquire t1 a → owed 0, status 1 void

# A task may be created for later
create t1 not-before=+10s → state planned, not-before +10s

# A policy field that is out of bounds is refused, and the refusal names the field
create t1 max-attempts=0 → refused invalid policy.max_attempts
create t1 backoff=1s,0,5m → refused invalid policy.backoff.factor
create t1 stall-after=500ms → refused invalid policy.stall_after
show t1 → absent
