# Removes a worktree. Twice does no harm: what is gone already is success.
tree=$1
if [ ! -d "$tree" ]; then
  echo "$tree was gone already"
  exit 0
fi
by=$(cat "$tree/made-by")
rm -rf -- "$tree" && echo "removed $tree, made by $by"
