=== file
services:
  web: {image: web}
> up
! image web second
> up
> up
