=== file
services:
  web:
    image: web:1
    command: [serve]
    ports: ["80:80"]
    labels: {team: red}
    environment: {A: "1", B: "1", GONE: "1", SECRET: one}
    restart: always
> up
=== file
services:
  web:
    image: web:2
    command: [serve, --fast]
    ports: ["81:80"]
    labels: {team: blue}
    environment: {A: "1", B: "2", SECRET: two, NEW: "1"}
    restart: "no"
    read_only: true
> up
