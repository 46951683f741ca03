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

mkdir -p "$directory"
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
  [ "$tries" -lt 100 ] || { echo "$path: no quiet moment in $tries tries; try again later" >&2; exit 1; }
  sleep 0.1
done
[ -e "$directory/users.json" ] || [ -e "$directory/users.json-wal" ] || { echo "$path: no such table" >&2; exit 1; }
sync "$directory"/*
