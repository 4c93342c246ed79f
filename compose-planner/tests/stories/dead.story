=== file
services:
  web: {image: web}
> up --scale=web:2
! state shop-web-1 dead
! exited shop-web-2 3
> up --scale=web:2
state
