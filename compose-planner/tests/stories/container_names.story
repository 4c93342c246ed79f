=== file
services:
  a: {image: app, container_name: first}
  b: {image: app, container_name: second}
> up
# Names are exchanged.
=== file
services:
  a: {image: app, container_name: second}
  b: {image: app, container_name: first}
> up
state
=== file
services:
  a: {image: app, container_name: same}
  b: {image: app, container_name: same}
> up
> up a
