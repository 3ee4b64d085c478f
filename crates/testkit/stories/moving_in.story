# A record moves in while it is worked on elsewhere: its holder gets the first epoch, and what it carries is owed under it
-- row: put/new_in_flight
put t1 state=running owner=w1 expires=+30s reason=moves undo=rm:x undo=close:y created-at=-1h → state running, holder w1, epoch 1, attempts 1, expires +30s, owed 2, owes 1 1, owes 2 1, key 1 default/t1/1/1, granted-to w1
show t1 → history created acquired registered registered annotated
heartbeat t1 w1 epoch=1 → expires +60s
complete t1 w1 epoch=1 → state completed, last-lease w1 1

# The lease of a record that moves in is bounded by its policy, as every grant is
put t1 state=running owner=w1 expires=+6d reason=moves time-limit=10s → state running, expires +10s
heartbeat t1 w1 epoch=1 → refused out_of_time, unchanged
put t2 state=running owner=w1 expires=+6d reason=moves stall-after=20s time-limit=2h → expires +20s
progress t2 w1 epoch=1 progress=1
tick 10s; heartbeat t2 w1 epoch=1 → refused stalled, unchanged
heartbeat t2 w1 epoch=1 progress=2 → expires +20s
put t3 state=running owner=w1 expires=-1h reason=moves time-limit=10s → expires -1h
put t4 state=running owner=w1 expires=+6d reason=moves → expires +6d
put t5 state=dispatched owner=w1 expires=+6d reason=moves time-limit=10s → state dispatched
acquire t5 w1 → expires +10s
lapsed → tasks t1 t3

# The undo of a dead worker's record runs after the move
put t1 state=running owner=w1 expires=-1h reason=moves undo=rm:x → state running, holder w1, owed 1
stale → tasks t1
lapsed → tasks t1
acquire t1 w2 → refused compensation_owed by w1, unchanged
reclaim t1 rec → state compensating, holder rec, epoch 2
settle t1 rec epoch=2 seq=1 → state compensated, cause lapsed, last-lease w1 1

# What a record carries was done by its attempt: a second attempt does not owe it again
put t1 state=running owner=w1 expires=-1s reason=moves undo=rm:x max-attempts=2
reclaim t1 rec; settle t1 rec epoch=2 seq=1 → state planned, status 1 done
tick 1m; acquire t1 w2 → holder w2, status 1 done, owed 0

# A record that is dispatched elsewhere is reserved here
put t1 state=dispatched owner=w1 expires=+30s reason=moves undo=rm:x → state dispatched, holder w1, epoch 0, attempts 0, status 1 standing
acquire t1 w2 → refused reserved by w1, unchanged
acquire t1 w1 → holder w1, epoch 1, owed 1

# A record that moves in needs a reason, and a holder for at most a week
put t1 state=running owner=w1 expires=+30s → refused invalid reason
put t1 state=running owner=w1 expires=+8d reason=moves → refused invalid lease.expires_at
put t1 state=dispatched owner=w1 expires=+8d reason=moves → refused invalid reservation.expires_at
put t1 state=running owner=w1 expires=+7d reason=moves epoch=4 → refused invalid epoch
show t1 → absent

# A record can't move in over a task that exists
create t1
put t1 state=running owner=w1 expires=+30s reason=moves → refused exists, unchanged
put t1 revision=1 state=running owner=w1 expires=+30s reason=moves → refused wrong_state, unchanged
