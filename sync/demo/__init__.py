"""The demo tenants as data: object types, layouts, and records."""
