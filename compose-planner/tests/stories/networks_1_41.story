@ docker-1.41
=== file
services:
  web:
    image: web
    networks: {front: {priority: 1}, back: {priority: 10, aliases: [api]}}
networks: {front: , back: }
> up
! network shop_back shop
> up
