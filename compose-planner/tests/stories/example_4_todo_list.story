=== example examples/4-todo-list/compose.yaml
> up
> up
=== example examples/4-todo-list/compose.yaml
s/Database:Provider=Postgres/Database:Provider=Sqlite/
! inspected 4-todo-list-todo-web-1 Database:Provider=Postgres PATH=/bin
> up
# A password: only that it changed.
=== example examples/4-todo-list/compose.yaml
s/Database:Provider=Postgres/Database:Provider=Sqlite/
s/POSTGRES_PASSWORD=milk-and-bread/POSTGRES_PASSWORD=bread/
? up
! inspected 4-todo-list-todo-db-1 POSTGRES_DB=todo POSTGRES_USER=todo POSTGRES_PASSWORD=milk-and-bread
> up
> up
=== example examples/4-todo-list/compose.yaml
s/Database:Provider=Postgres/Database:Provider=Sqlite/
s/POSTGRES_PASSWORD=milk-and-bread/POSTGRES_PASSWORD=bread/
s/8030:80/80/
> up --scale=todo-web:3
> up --scale=todo-web:1
> down --volumes
state
