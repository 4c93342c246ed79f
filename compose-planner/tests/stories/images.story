=== file
services:
  api: {build: {context: /shop/api}}
  web: {image: shop/web:7, build: {context: /shop/web, additional_contexts: {api: "service:api"}}}
  db: {image: db, pull_policy: always}
  old: {image: old, pull_policy: daily}
  tool: {image: tool}
! no-image shop-api
! no-image shop/web:7
! no-image tool
> up --now=1000000
> up --now=1000000
> up --images-ready
> up --build --pull=never --images-ready
? up --build
? up --no-build
! no-image shop-api
? up --no-build
! no-image tool
? up --pull=never
> build
> build web --no-cache
> pull
> pull --ignore-buildable --policy=missing
> push
> down --rmi=local
> down --rmi=all
# What is called latest is pulled even if it is there.
=== file
services:
  tagged: {image: "db:1", pull_policy: missing}
  latest: {image: "db:latest", pull_policy: missing}
  untagged: {image: db, pull_policy: missing}
  fixed: {image: "db@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", pull_policy: missing}
? pull
