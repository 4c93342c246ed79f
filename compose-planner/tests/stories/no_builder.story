@ no-builder
=== file
services:
  api: {build: {context: /shop/api}}
! no-image shop-api
> up
