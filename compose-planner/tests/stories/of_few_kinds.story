@ of-few-kinds
=== file
services:
  web:
    image: web
    devices: [/dev/null, "acme.org/sensor=one"]
? up
=== file
services:
  web:
    image: web
    devices:
      - "acme.org/sensor=one"
      - "acme.org/sensor=two"
? up
=== file
services:
  web:
    image: web
    logging: {driver: none}
    ports: [80, 53/udp]
? up
=== file
services:
  web:
    image: web
    logging:
      driver: syslog
? up
