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
> unpause
! one-off shop-web-run-1 web running
! one-off shop-web-run-2 web exited
> kill db
> kill web
> up
> down db
state
