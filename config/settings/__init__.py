"""Settings by environment: `dev` (default of manage.py), `test`, and `prod`; all build on `base`."""
