"""The store on PostgreSQL: the functions of `storage.sql`, in greenlets over asyncpg."""
