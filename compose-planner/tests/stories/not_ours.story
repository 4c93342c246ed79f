! network shop_default -
! network shop_front other
! volume shop_data -
=== file
services:
  web: {image: web, networks: [default, front], volumes: [data:/d]}
networks: {front: }
volumes: {data: }
> up
> down
state
