=== file
services:
  db: {provider: {type: cloud, options: {size: [small]}}}
  web: {image: web, depends_on: {db: {condition: service_started, required: true}}}
> up
> stop
> down
