=== file
services:
  web: {image: web}
  db: {image: db}
> create
> up
> create --force-recreate db
> up
