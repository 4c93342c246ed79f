=== example examples/5-restart-and-data/compose.yaml
> up
> up
=== example examples/5-restart-and-data/compose.yaml
s/POSTGRES_DB: todo_db/POSTGRES_DB: todo_next/
! inspected 5-restart-and-data-db-1 POSTGRES_DB=todo_db POSTGRES_USER=todo_user POSTGRES_PASSWORD=todo_password
> up
> up
=== example examples/5-restart-and-data/compose.yaml
s/POSTGRES_DB: todo_db/POSTGRES_DB: todo_next/
s/8050:80/80/
> up --scale=web:3
> up --scale=web:1
> down
state
> up
> down --volumes
state
