=== file
services:
  db: {image: db}
  web: {image: web, depends_on: {db: {condition: service_started, required: true}}}
> kill
> rm
> up
> kill --signal=SIGHUP web
> pause db
> up
> unpause
> stop web
> rm
> rm --stop --volumes
> start
> up nosuch
> pause
state
