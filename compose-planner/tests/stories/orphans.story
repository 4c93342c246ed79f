=== file
services:
  web: {image: web}
  old: {image: old}
  debug: {image: debug}
> up
! one-off shop-web-run-1 web exited
! one-off shop-web-run-2 web running
=== file
services:
  web: {image: web}
  debug: {image: debug, profiles: [debug]}
> up
> up --ignore-orphans
> up --remove-orphans
> down
> down --remove-orphans
state
