=== file
services:
  web: {image: web, networks: [nat], volumes: [store:/s]}
networks: {nat: {external: true}}
volumes: {store: {external: true}}
> up
! network nat -
> up
! volume store -
> up
> down --volumes
state
