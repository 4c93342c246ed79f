=== file
services:
  web: {image: web, environment: {LOG: info, API_TOKEN: a}}
> up
# Made by another program of the same labels: no digests of ours.
! foreign-labels shop-web-1
> up
=== file
services:
  web: {image: web, environment: {LOG: debug, API_TOKEN: b}}
? up
! inspected shop-web-1 LOG=info API_TOKEN=a
> up
