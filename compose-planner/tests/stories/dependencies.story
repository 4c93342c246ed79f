=== file
services:
  migrate: {image: app, command: [migrate], depends_on: {db: {condition: service_healthy, required: true}}}
  db: {image: db, healthcheck: {test: [CMD, ok]}}
  cache: {image: cache, healthcheck: {test: [CMD, ok]}}
  web:
    image: app
    depends_on:
      migrate: {condition: service_completed_successfully, required: true}
      cache: {condition: service_healthy, required: false}
      db: {condition: service_started, restart: true, required: true}
> up --wait --wait-timeout=60
# The reference runs a completed job again.
? up
? up --keep-completed-jobs
? up --keep-completed-jobs --rerun-jobs
> up --keep-completed-jobs --force-recreate --no-deps db
> up --keep-completed-jobs --always-recreate-deps web
> stop web
> start web
> restart db
> restart --no-deps db
> up --no-deps web
