"""`python -m moat_client` is the command `moat`."""

from moat_client.cli.main import run

if __name__ == "__main__":
    run()
