#!/bin/sh
# Copies a table of users while the service runs: backup.sh users.json DIRECTORY
#
# The table and its log belong together. Copying the table first loses nothing unless a fold replaces one of the two in
# between, which shows in their inodes: then the copy is made again. An older backup stays until the copy is complete.
set -eu

fail() {
  echo "$1" >&2
  exit 1
}
[ $# = 2 ] || fail 'usage: backup.sh users.json DIRECTORY'
path=$1 directory=$2

# Keeps both files open, so that no new file gets their inodes.
hold() {
  { [ ! -e "$path" ] || command exec 3<"$path"; } 2>/dev/null || true
  { [ ! -e "$path-wal" ] || command exec 4<"$path-wal"; } 2>/dev/null || true
}
inodes() {
  ls -i "$path" "$path-wal" 2>/dev/null || true
}

# The log is beside the table itself, not beside a link to it.
[ ! -L "$path" ] || path=$(readlink -f "$path") || fail "$1: no such table"
name=$(basename -- "$path")
[ -n "$(inodes)" ] || fail "$path: no such table"
mkdir -p "$directory"
[ ! "$(dirname "$path")" -ef "$directory" ] || fail "$directory: the table itself is there; name another directory"
new=$(mktemp -d "$directory/new-XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM

tries=0
while :; do
  hold
  before=$(inodes) error=
  rm -f "$new/$name"*
  for end in '' -wal; do
    [ ! -e "$path$end" ] || error="$error$(cp -p "$path$end" "$new/$name$end" 2>&1)" || true
  done
  [ "$before" != "$(inodes)" ] || break
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || fail "$path: no quiet moment in $tries tries; try again later"
  sleep 0.1
done
[ -z "$error" ] || fail "$error"
[ -n "$before" ] || fail "$path: no such table"
sync "$new/$name"*
# From here on the new copy is the backup: nothing may delete it, or stop this halfway.
trap - EXIT
trap '' HUP INT TERM
rm -f "$directory/$name" "$directory/$name-wal"
mv "$new/$name"* "$directory"
rmdir "$new"
sync "$directory/$name"*
