=== file
services:
  db: {image: db, healthcheck: {test: [CMD, ok]}}
  web: {image: web, ports: ["80:80"], depends_on: {db: {condition: service_healthy, required: true}}}
  tool: {image: tool, profiles: [tools]}
jobs:
  nightly: {image: web}
> run web
> run web --no-deps --rm --slug=abcdef0123456789
> run tool --slug=bbbbbb0123456789
> run nightly
> up
