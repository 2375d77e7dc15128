"""The JSON API under `/api/v1`: FastAPI for routes and their description, msgspec for what goes in and out."""
