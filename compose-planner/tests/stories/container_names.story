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
# The name is a container's of a service that is not asked for, or that the file does not have any more.
> up b
=== file
services:
  c: {image: app, container_name: same}
> up
> up --remove-orphans
state
