=== file
services:
  db: {image: db, networks: [back]}
  web: {image: web, networks: [front], depends_on: {db: {condition: service_started, restart: true, required: true}}}
networks: {back: , front: }
> up
=== file
services:
  db: {image: db, networks: [back]}
  web: {image: web, networks: [front], depends_on: {db: {condition: service_started, restart: true, required: true}}}
networks: {back: {internal: true}, front: }
> up
> up
