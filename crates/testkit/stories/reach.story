# An actor that is limited to its own leases can't use another actor's lease
create t1; acquire t1 w1 as=ci
heartbeat t1 w1 epoch=1 ttl=90s as=ci own
heartbeat t1 w1 epoch=1 ttl=120s as=other own → refused forbidden by w1, unchanged
progress t1 w1 epoch=1 progress=1 as=other own → refused forbidden, unchanged
register t1 rm:x w1 epoch=1 as=other own → refused forbidden, unchanged
release t1 w1 epoch=1 as=other own → refused forbidden, unchanged
complete t1 w1 epoch=1 as=other own → refused forbidden, unchanged
complete t1 w1 epoch=1 as=ci own → state completed

# An actor that is not limited to its own leases needs only owner and epoch
create t1; acquire t1 w1 as=ci
complete t1 w1 epoch=1 as=alice → state completed

# Epoch, owner and lapse are checked before the actor
create t1; acquire t1 w1 as=ci
complete t1 w1 epoch=2 as=other own → refused stale_epoch
complete t1 w2 epoch=1 as=other own → refused wrong_owner
tick 61s
heartbeat t1 w1 epoch=1 as=other own → refused lease_lapsed
release t1 w1 epoch=1 as=other own → refused forbidden, unchanged
release t1 w1 epoch=1 as=ci own → state compensated

# An actor that is limited to its own leases can't use recovery's lease
create t1 undo=rm:x; acquire t1 w1 as=ci; tick 61s; reclaim t1 r1 as=ops
settle t1 r1 epoch=2 seq=1 receipt=gone as=ci own → refused forbidden, unchanged
quarantine t1 r1 epoch=2 as=ci own → refused forbidden, unchanged
settle t1 r1 epoch=2 seq=1 receipt=gone as=ops own → state compensated

# A lease that moves in belongs to the name that the record gives, which is a token's where there are tokens
put t1 state=running owner=w1 expires=+30s granted-to=team-a reason=moves as=alice → granted-to team-a
heartbeat t1 w1 epoch=1 as=team-b own → refused forbidden by w1
heartbeat t1 w1 epoch=1 as=team-a own → expires +60s
