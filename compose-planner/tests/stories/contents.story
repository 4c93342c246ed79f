=== file
services:
  a:
    image: web
    configs: [{source: plain, target: /etc/plain}]
  b:
    image: web
    configs: [{source: restarted, target: /etc/r}]
  c:
    image: web
    configs: [{source: signalled, target: /etc/s}]
    secrets: [{source: password, "x-*": {x-on-change: ignore}}]
  d:
    image: web
    secrets: [password]
configs:
  plain: {file: /shop/plain}
  restarted: {file: /shop/r, "x-*": {x-on-change: restart}}
  signalled: {content: "a", "x-*": {x-on-change: "signal:HUP"}}
secrets:
  password: {file: /shop/password}
> up
> up
! content config.plain 1
! content config.restarted 2
! content config.signalled 3
! content secret.password 4
? up --no-recreate
> up
> up
! foreign-labels shop-a-1
! content config.plain 5
> up
