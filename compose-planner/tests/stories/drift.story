=== file
services:
  a:
    image: web
    mem_limit: "67108864"
    networks: [front]
networks: {front: {}, other: {}}
> up
! by-hand shop-a-1 mem_limit 67108864
! connected shop-a-1 bridge
! named shop-a-1 mine
? up
> up --repair-drift
! by-hand shop-a-1 mem_limit 134217728
? up
> up --repair-drift
