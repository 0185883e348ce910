#!/bin/bash
# The services of a party, one a container: service flow | broker | router
set -euo pipefail

case "${1:-}" in
  flow)
    mkdir -p /var/lib/fate/temps
    # Workers of running jobs are children of FATE Flow. They outlive it here, so that a job survives its restart.
    trap 'exit 0' TERM INT
    while true; do
      python /opt/fate/lib/python3.11/site-packages/fate_flow/fate_flow_server.py &
      wait $! || echo "FATE Flow ended with status $?; starting it again" >&2
      sleep 2
    done
    ;;
  broker)
    # Erlang's own ports are for this container only.
    export HOME=/var/lib/rabbitmq RABBITMQ_NODENAME=rabbit@localhost ERL_EPMD_ADDRESS=127.0.0.1
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
    exec /usr/lib/rabbitmq/bin/rabbitmq-server
    ;;
  router)
    exec nginx -c /etc/fate-router/nginx.conf -g 'daemon off;'
    ;;
  *)
    echo "usage: service flow|broker|router" >&2
    exit 2
    ;;
esac
