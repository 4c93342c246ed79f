# What the book prints.
=== example examples/chapter/01-tab.yaml
! network nat -
=== example examples/chapter/01-repaired.yaml
> up
> up
> down
=== example examples/chapter/02-image-gallery.yaml
> up
> up
> down
=== example examples/chapter/03-replicas.yaml
> up
> up
> scale app=1
> down
=== example examples/chapter/04-todo-list.yaml
> up
> up
> down
=== example examples/chapter/05-restart-and-data.yaml
> up
> up
> down
> down --volumes
state
