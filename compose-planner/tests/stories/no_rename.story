@ no-rename
=== file
services:
  web: {image: web, environment: {A: "1"}, volumes: [/cache]}
> up --scale=web:2
=== file
services:
  web: {image: web, environment: {A: "2"}, volumes: [/cache]}
> up --scale=web:2 | 3
> up --scale=web:2
state
