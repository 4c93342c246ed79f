=== example examples/3-replicas/compose.yaml
> up
> up
=== example examples/3-replicas/compose.yaml
s/LOG: info/LOG: debug/
? up
! inspected 3-replicas-app-1 GREETING=hello LOG=info PATH=/bin
! inspected 3-replicas-app-2 GREETING=hello LOG=info PATH=/bin
! inspected 3-replicas-app-3 GREETING=hello LOG=info PATH=/bin
> up
> up
? scale app=1
> up --scale=app:1
> up
# Both at once: the remaining one is replaced, two are removed.
=== example examples/3-replicas/compose.yaml
s/LOG: info/LOG: trace/
s/replicas: 3/replicas: 1/
> up
> up
> down
state
