#!/bin/bash
# Runs a command as a named stage: says when it begins, how it ended and how long it took.
#
#   stage.sh NAME CMD...
name=$1
shift
printf '== %s\n' "$name"
"$@"
code=$?
if [ $code = 0 ]; then
    printf '== %s: done in %d s\n' "$name" "$SECONDS"
else
    printf '== %s: failed with %d after %d s\n' "$name" $code "$SECONDS"
fi
exit $code
