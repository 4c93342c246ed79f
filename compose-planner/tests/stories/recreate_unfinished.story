=== file
services:
  web: {image: web, environment: {A: "1"}, volumes: [/cache]}
> up
=== file
services:
  web: {image: web, environment: {A: "2"}, volumes: [/cache]}
# killed after the replacement was made
> up | 1
state
> up
> up
=== file
services:
  web: {image: web, environment: {A: "3"}, volumes: [/cache]}
# killed after the old one was removed
> up | 3
state
> up
state
=== file
services:
  web: {image: web, environment: {A: "4"}, volumes: [/cache]}
> up | 2
# and the file goes back to what was there before
=== file
services:
  web: {image: web, environment: {A: "3"}, volumes: [/cache]}
> up
state
=== file
services:
  web: {image: web, environment: {A: "5"}, volumes: [/cache]}
> up | 3
=== file
services:
  web: {image: web, environment: {A: "6"}, volumes: [/cache]}
> up
state
> up
