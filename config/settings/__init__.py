"""Settings by environment: `dev` (default of manage.py), `test`, `prod`; all build on `base`."""
