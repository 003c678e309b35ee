"""`python -m moat_client` is the command line `moat`."""

from moat_client.cli.main import run

if __name__ == "__main__":
    run()
