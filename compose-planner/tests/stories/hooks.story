=== file
services:
  web:
    image: web
    pre_start: [{command: [prepare]}, {command: [check], image: tool}]
    post_start: [{command: [announce]}]
    pre_stop: [{command: [drain]}]
    deploy: {replicas: 2}
> up
> up
> up --scale=web:3
> up --force-recreate --scale=web:1
> restart
> stop
> start
> up
> down
=== file
services:
  web:
    image: web
    networks: {default: {aliases: [site]}}
    pre_start: [{command: [prepare]}]
> create
> start
> stop
> start
> up
