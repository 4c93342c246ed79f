=== example examples/1-external-network/compose.yaml
# The network has to be there.
> up
! network nat -
> up
> up
=== example examples/1-external-network/compose.yaml
services: {todo-web: {environment: {LOG: info}}}
> up
=== example examples/1-external-network/compose.yaml
services: {todo-web: {environment: {LOG: debug}}}
? up
! inspected 1-external-network-todo-web-1 LOG=info PATH=/bin
> up
# Three replicas cannot share one port of the host.
=== example examples/1-external-network/compose.yaml
s/8020:80/80/
> up --scale=todo-web:3
> up
> down
state
