# One build: it registers how to undo its side effect before it causes it, works, and reports its progress.
tree=worktrees/$TENURE_TASK
"$TENURE" task undo add --kind remove-worktree --target "$tree" >&2 || exit 1
mkdir "$tree" || exit 1 # this fails while another worker's worktree exists
echo "$TENURE_OWNER under epoch $TENURE_EPOCH" > "$tree/made-by"
echo $$ > "$tree/process"
for step in 1 2 3 4 5 6; do
  sleep 0.9
  echo "step $step" >> "$tree/log"
  echo "{\"step\":$step,\"of\":6}" >&3
done
