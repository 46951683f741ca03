#!/bin/sh
# Copies a table of users while the service runs: backup.sh users.json DIRECTORY
#
# The table and its log belong together. Copying the table first loses nothing unless a fold replaces one of them in
# between. The new file has another inode, and then the copy is made again.
set -eu
path=$1 directory=$2

# Keeps both files open, so that no new file gets their inodes.
hold() {
  { [ ! -e "$path" ] || command exec 3<"$path"; } 2>/dev/null || true
  { [ ! -e "$path-wal" ] || command exec 4<"$path-wal"; } 2>/dev/null || true
}
inodes() {
  ls -i "$path" "$path-wal" 2>/dev/null || true
}

fail() {
  echo "$1" >&2
  exit 1
}

# Checked before the loop removes an older backup.
[ -e "$path" ] || [ -e "$path-wal" ] || fail "$path: no such table"
mkdir -p "$directory"
for end in '' -wal; do
  [ ! "$path$end" -ef "$directory/users.json$end" ] || fail "$directory: the table itself is there; name another directory"
done

tries=0
while :; do
  hold
  before=$(inodes)
  rm -f "$directory"/users.json "$directory"/users.json-wal
  for end in '' -wal; do
    [ ! -e "$path$end" ] || cp -p "$path$end" "$directory/users.json$end" 2>/dev/null || before=vanished
  done
  [ "$before" != "$(inodes)" ] || break
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || fail "$path: no quiet moment in $tries tries; try again later"
  sleep 0.1
done
sync "$directory"/*
