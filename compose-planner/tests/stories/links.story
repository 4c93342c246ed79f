# On its own network the engine looks for what is linked when it makes a container; elsewhere a link is
# an alias.
=== file
services:
  a: {image: a, network_mode: bridge, links: ["b:other"]}
  b: {image: b, network_mode: bridge}
  c: {image: c, links: [d]}
  d: {image: d}
> up
> up --force-recreate
