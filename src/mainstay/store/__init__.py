"""The only place with SQL. Functions take a transaction (`store.database.Tx`) and return model values."""
