=== file
services:
  a: {image: app, depends_on: {b: {condition: service_started, required: true}}}
  b: {image: app, depends_on: {a: {condition: service_started, required: true}}}
> up
