=== example examples/2-image-gallery/compose.yaml
> up
> up
=== example examples/2-image-gallery/compose.yaml
services: {accesslog: {environment: {LOG: info}}}
> up
=== example examples/2-image-gallery/compose.yaml
services: {accesslog: {environment: {LOG: debug}}}
! inspected 2-image-gallery-accesslog-1 LOG=info PATH=/bin
> up
> up
> up --scale=iotd:3
> up --scale=iotd:1
> stop
> start
> restart image-gallery
> down
state
