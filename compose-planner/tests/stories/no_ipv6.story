@ no-ipv6
=== file
services:
  web: {image: web, networks: [plain, six]}
networks:
  plain: {}
  six: {enable_ipv6: true}
> up
