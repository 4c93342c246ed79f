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
