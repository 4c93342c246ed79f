=== file
services:
  a: {image: app, volumes: [data:/data]}
  b: {image: app, volumes: [data:/data]}
volumes: {data: }
> up
=== file
services:
  a: {image: app, volumes: [data:/data]}
  b: {image: app, volumes: [data:/data]}
volumes: {data: {labels: {x: y}}}
? up
> up --consent=shop_data a
> up
state
