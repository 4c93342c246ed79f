=== file
services:
  web: {image: web, networks: [front, back]}
  db: {image: db, networks: [back]}
networks: {front: , back: {driver: bridge}}
> up
=== file
services:
  web: {image: web, networks: [front, back]}
  db: {image: db, networks: [back], environment: {A: "1"}}
networks: {front: , back: {driver: bridge, internal: true}}
> up
state
> up
! disconnected shop-web-1 shop_front
> up
! state shop-web-1 exited
! disconnected shop-web-1 shop_front
> up
> up
