=== file
services:
  db:
    image: postgres
    environment: {POSTGRES_PASSWORD: hidden}
    volumes: [data:/var/lib/postgresql]
    healthcheck: {test: [CMD, pg_isready], interval: 1s}
  web:
    image: shop/web:7
    environment: {LOG: info, DB_PASSWORD: hidden}
    ports: ["8080:80"]
    depends_on: {db: {condition: service_healthy, required: true}}
    stop_grace_period: 10s
    deploy: {replicas: 2}
volumes: {data: }
> up
> up
=== file
services:
  db:
    image: postgres
    environment: {POSTGRES_PASSWORD: hidden}
    volumes: [data:/var/lib/postgresql]
    healthcheck: {test: [CMD, pg_isready], interval: 1s}
  web:
    image: shop/web:7
    environment: {LOG: debug, DB_PASSWORD: changed}
    ports: ["8080:80"]
    depends_on: {db: {condition: service_healthy, required: true}}
    stop_grace_period: 10s
    deploy: {replicas: 1}
volumes: {data: }
? up
! inspected shop-web-1 LOG=info DB_PASSWORD=hidden PATH=/bin
> up
> up
state
> stop
> start
> restart web
> down
> down --volumes
state
