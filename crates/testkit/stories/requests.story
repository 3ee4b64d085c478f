# A repeated create returns the first result
create t1 request=r1 priority=5 → state planned, revision 1
create t1 request=r1 priority=5 → state planned, revision 1, unchanged

# A repeated acquire returns its first lease, even if the task has ended since
create t1
acquire t1 a request=r1 → state running, holder a, epoch 1
complete t1 a epoch=1
acquire t1 a request=r1 → state running, holder a, epoch 1, unchanged
show t1 → state completed

# A repeated acquire returns its first lease, even if another worker holds the task now
create t1; acquire t1 a request=r1; tick 60s; acquire t1 b
acquire t1 a request=r1 → holder a, epoch 1, unchanged
show t1 → holder b, epoch 2

# A repeated complete is not refused as terminal
create t1; acquire t1 a
complete t1 a epoch=1 request=r1 result=7 → state completed, revision 3
complete t1 a epoch=1 request=r1 result=7 → state completed, result 7, revision 3, unchanged
complete t1 a epoch=1 result=7 → refused terminal, unchanged

# A repeated release succeeds, even if another worker holds the task now
create t1; acquire t1 a
release t1 a epoch=1 request=r1 → state planned, attempts 0
acquire t1 b
release t1 a epoch=1 request=r1 → state planned, attempts 0, unchanged
show t1 → state running, holder b, epoch 2

# A repeated registration registers once
create t1; acquire t1 a
register t1 rm:x a epoch=1 request=r1 → compensations 1
register t1 rm:x a epoch=1 request=r1 → compensations 1, unchanged
register t1 rm:x a epoch=1 → compensations 2

# A repeated settle returns the first result, even if the task has ended since
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec
settle t1 rec epoch=2 seq=1 receipt=gone request=r1 → state compensated
settle t1 rec epoch=2 seq=1 receipt=gone request=r1 → state compensated, status 1 done, unchanged

# A repeated adopt that changed nothing again changes nothing
create t1; acquire t1 a
adopt t1 a epoch=1 request=r1 → unchanged
adopt t1 a epoch=1 request=r1 → unchanged

# A repeated claim returns the tasks of the first claim and no others
create t1 queue=q; tick 1s; create t2 queue=q; tick 1s; create t3 queue=q
claim q a n=2 request=r1 → tasks t1 t2
claim q a n=2 request=r1 → tasks t1 t2
show t3 → state planned, epoch 0
complete t1 a epoch=1
claim q a n=2 request=r1 → tasks t1 t2
show t1 → state completed, epoch 1

# A repeated claim that found nothing returns nothing, even if a task is due now
claim q a n=1 request=r1 → tasks none
create t1 queue=q
claim q a n=1 request=r1 → tasks none
claim q a n=1 request=r2 → tasks t1

# A repeated put is not refused as stale
create t1
put t1 revision=1 priority=5 request=r1 → revision 2
put t1 revision=1 priority=5 request=r1 → revision 2, unchanged
put t1 revision=1 priority=5 → refused stale_write, unchanged

# A repeated cancel changes the task only once
create t1; acquire t1 a
cancel t1 request=r1 → cancel asked, revision 3
cancel t1 request=r1 → cancel asked, revision 3, unchanged

# A repeated reclaim returns the lease of the first one
create t1 undo=rm:x; acquire t1 a; tick 60s
reclaim t1 rec request=r1 → holder rec, epoch 2
reclaim t1 rec request=r1 → holder rec, epoch 2, unchanged

# A repeated retry creates no second task, even if the id was generated
create t1; cancel t1
retry t1 request=r1 → state planned, retry-of t1
retry t1 request=r1 → state planned, retry-of t1
show t1 → revision 4, history created cancel_asked compensated retried

# A repeated request returns the first result after six days
create t1 request=r1; tick 6d
create t1 request=r1 → state planned, revision 1, unchanged

# A request id can't be used for another command
create t1 request=r1
create t2 request=r1 → refused request_reused
create t1 priority=5 request=r1 → refused request_reused, unchanged
acquire t1 a request=r1 → refused request_reused, unchanged
show t2 → absent

# A request id can't be used by another actor
create t1 request=r1 as=alice
create t1 request=r1 as=bob → refused request_reused, unchanged
create t1 request=r1 as=alice → state planned, unchanged

# A request id can't be used for another owner's acquire
create t1
acquire t1 a request=r1 → holder a
acquire t1 b request=r1 → refused request_reused, unchanged

# A refusal is not stored, so the same request can succeed later
create t1; acquire t1 a
acquire t1 b request=r1 → refused leased by a, unchanged
tick 60s
acquire t1 b request=r1 → holder b, epoch 2
acquire t1 b request=r1 → holder b, epoch 2, unchanged

# The request id of a refused command can be used for another command
create t1
complete t1 a epoch=1 request=r1 → refused no_lease, unchanged
acquire t1 a request=r1 → state running, epoch 1
