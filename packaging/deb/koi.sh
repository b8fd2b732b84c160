#!/bin/sh
# With the Node that Koi was compiled for, whatever else is installed.
exec /usr/lib/koi/bin/node --max-semi-space-size=2 /usr/lib/koi/dist/cli/main.js "$@"
