=== file
services:
  web:
    image: web
    configs: [{source: inline, target: /etc/app.conf}]
    secrets: [{source: plain}, {source: owned, uid: "1000", mode: "0400"}, {source: variable}]
configs: {inline: {content: "a=1"}}
secrets: {plain: {file: /shop/plain}, owned: {file: /shop/owned}, variable: {environment: TOKEN}}
> up
=== file
services:
  web:
    image: web
    configs: [{source: inline, target: /etc/app.conf}]
    secrets: [{source: plain}, {source: owned, uid: "1000", mode: "0400"}, {source: variable}]
configs: {inline: {content: "a=2"}}
secrets: {plain: {file: /shop/plain}, owned: {file: /shop/owned}, variable: {environment: TOKEN}}
> up
> stop
> up
