# The holder labels its task while it works
create t1 label=issue:168; acquire t1 a
-- row: label
label t1 a epoch=1 set=branch:fix-168 set=issue:169 → state running, labels branch:fix-168 issue:169, revision 3
label t1 a epoch=1 unset=issue unset=other → labels branch:fix-168
show t1 → history created acquired labelled labelled

# Labels that are as they should be already leave no event
create t1 label=issue:168; acquire t1 a
label t1 a epoch=1 set=issue:168 unset=other → revision 2
show t1 → history created acquired

# A holder can label a task that it is undoing
create t1 undo=rm:x; acquire t1 a; rollback t1 a epoch=1; reclaim t1 rec
label t1 rec epoch=2 set=undone-by:rec → state compensating, labels undone-by:rec

# Only the holder of an active lease may label by lease
create t1
label t1 a epoch=1 set=k:v → refused no_lease, unchanged
acquire t1 a
label t1 b epoch=1 set=k:v → refused wrong_owner by a, unchanged
label t1 a epoch=7 set=k:v → refused stale_epoch by a, unchanged
tick 60s
label t1 a epoch=1 set=k:v → refused lease_lapsed by a, unchanged

# An operator labels an open task in any state, but not an ended one
create t1
-- row: label/by_operator
label t1 set=who:alice reason=triage → state planned, labels who:alice
dispatch t1 a; label t1 set=n:1 → state dispatched, labels n:1 who:alice
acquire t1 a; label t1 unset=n → state running, holder a, labels who:alice
complete t1 a epoch=1
label t1 set=n:2 → refused terminal, unchanged

# A task has at most 32 labels
create t1 label=l1:x label=l2:x label=l3:x label=l4:x label=l5:x label=l6:x label=l7:x label=l8:x label=l9:x label=l10:x label=l11:x label=l12:x label=l13:x label=l14:x label=l15:x label=l16:x label=l17:x label=l18:x label=l19:x label=l20:x label=l21:x label=l22:x label=l23:x label=l24:x label=l25:x label=l26:x label=l27:x label=l28:x label=l29:x label=l30:x label=l31:x label=l32:x
-- row: label/by_operator_full
label t1 set=l33:x → refused invalid labels, unchanged
label t1 set=l33:x unset=l1 → state planned
acquire t1 a
-- row: label/full
label t1 a epoch=1 set=l1:x → refused invalid labels, unchanged

# A label is set or removed, not both
create t1
label t1 set=k:v unset=k → refused invalid unset, unchanged
label t1 → refused invalid set, unchanged
