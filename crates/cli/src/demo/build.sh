# One build: it registers how to undo its effect before it has it, works, and says how far it is.
tree=worktrees/$TENURE_TASK
"$TENURE" task undo add --kind remove-worktree --target "$tree" >&2 || exit 1
mkdir "$tree" || exit 1 # this fails as long as somebody else's is there
echo "$TENURE_OWNER under epoch $TENURE_EPOCH" > "$tree/made-by"
echo $$ > "$tree/process"
for step in 1 2 3 4 5 6; do
  sleep 0.9
  echo "step $step" >> "$tree/log"
  echo "{\"step\":$step,\"of\":6}" >&3
done
