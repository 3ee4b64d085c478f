# An ended task says who held it last
create t1 → last-lease none; acquire t1 a → last-lease none
tick 10s
complete t1 a epoch=1 → last-lease a 1, last-since -10s, last-until +0s

# After a lapse the last lease ended when it lapsed, and the undo's lease is not it
create t1 undo=rm:x; acquire t1 a; tick 90s; reclaim t1 rec → last-lease a 1, last-until -30s
tick 5s; settle t1 rec epoch=2 seq=1 → state compensated, last-lease a 1, last-until -35s

# A holder that undoes its own work keeps its lease until that is done
create t1 undo=rm:x; acquire t1 a; tick 10s
rollback t1 a epoch=1 keep → last-lease none
tick 10s; settle t1 a epoch=1 seq=1 → state compensated, last-lease a 1, last-until +0s

# A task that was tried twice says who tried it last
create t1 max-attempts=2; acquire t1 a; rollback t1 a epoch=1 → last-lease a 1
tick 1m; acquire t1 b → last-lease a 1; complete t1 b epoch=2 → last-lease b 2

# A task that was never acquired has none
create t1; mark-completed t1 → last-lease none

# A holder that ended its work after the lapse held it until the lapse
create t1; acquire t1 a; tick 90s
complete t1 a epoch=1 → state completed, last-until -30s
