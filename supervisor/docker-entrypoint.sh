#!/bin/sh
# Process 1 of the container. Runs supervisord, and ends with a non-zero status if one of its
# programs could not be started any more, so that Docker's restart policy can act. supervisord
# itself always ends with 0.
set -eu

/etc/forever200/supervisor/run-folder
# The file of the last run, if this is a `docker restart`.
rm -f "$FOREVER200_RUN/fatal"

supervisord --configuration "/etc/forever200/supervisord.conf" &
supervisord=$!
trap 'kill "$supervisord"' TERM INT

# A trapped signal ends `wait` early, with a status above 128.
status=0
while kill -0 "$supervisord" 2>/dev/null; do
    status=0
    wait "$supervisord" || status=$?
done
[ ! -e "$FOREVER200_RUN/fatal" ] || status=1
exit "$status"
