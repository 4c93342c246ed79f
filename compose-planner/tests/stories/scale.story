=== file
services:
  web: {image: web}
  one: {image: web, container_name: single}
> up --scale=web:3
! gone shop-web-2
# Holes are filled first.
> up --scale=web:4
! image web second
> up --no-recreate --scale=web:6
# Outdated replicas go first.
> up --no-recreate --scale=web:2
> scale web=3
> up
> up --scale=one:2
> up --scale=web:0
> scale nosuch=1
state
