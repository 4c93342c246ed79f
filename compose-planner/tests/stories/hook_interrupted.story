=== file
services:
  web: {image: web, pre_start: [{command: [prepare]}]}
> up | 4
state
> up
state
> create --force-recreate
> start
> down
