# Removes a worktree. It can run twice: a worktree that is gone already is a success.
tree=$1
if [ ! -d "$tree" ]; then
  echo "$tree was gone already"
  exit 0
fi
by=$(cat "$tree/made-by")
rm -rf -- "$tree" && echo "removed $tree, made by $by"
