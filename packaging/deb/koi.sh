#!/bin/sh
# With the Node that Koi was compiled for and the nats-server of the package, whatever else is installed.
PATH=/usr/local/sbin:/usr/local/bin:/usr/lib/koi/bin:${PATH:-/usr/sbin:/usr/bin:/sbin:/bin}
export PATH
exec /usr/lib/koi/bin/node --max-semi-space-size=2 --no-parallel-scavenge /usr/lib/koi/dist/cli/main.js "$@"
