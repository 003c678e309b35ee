"""Pure: waiting jobs of a pool. Tenants take turns, and within a tenant its devices do."""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf a job runs. None stands for the server itself, which no share limits."""

    tenant: int | None = None
    device: str | None = None


SERVER = Asker()


class Job(Protocol):
    """What the queue needs of a job. A job is equal only to itself."""

    @property
    def asker(self) -> Asker:
        """On whose behalf it runs."""


J = TypeVar("J", bound=Job)
T = TypeVar("T")


class Turns(Generic[J]):
    """Decides which job runs next.

    `per_tenant` and `per_device` limit how many of a tenant's and a device's jobs run at a time. Every job that `take`
    returns must be given to `finished` once.
    """

    def __init__(self, per_tenant: int, per_device: int) -> None:
        self._per_tenant, self._per_device = per_tenant, per_device
        self._waiting: OrderedDict[int | None, OrderedDict[str | None, deque[J]]] = OrderedDict()
        self._tenants: Counter[int] = Counter()
        self._devices: Counter[str] = Counter()
        self._jobs: Counter[str] = Counter()

    def jobs_of(self, device: str | None) -> int:
        """Return how many jobs of a device wait or run."""
        return 0 if device is None else self._jobs[device]

    def add(self, job: J) -> None:
        """Put a job behind the others of its device."""
        devices = self._waiting.setdefault(job.asker.tenant, OrderedDict())
        devices.setdefault(job.asker.device, deque()).append(job)
        if job.asker.device is not None:
            self._jobs[job.asker.device] += 1

    def take(self) -> J | None:
        """Remove and return the job whose turn it is; None if no waiting job may run now."""
        for tenant, devices in self._waiting.items():
            if tenant is not None and self._tenants[tenant] >= self._per_tenant:
                continue
            for device, jobs in devices.items():
                if device is not None and self._devices[device] >= self._per_device:
                    continue
                job = jobs.popleft()
                self._waiting.move_to_end(tenant)
                devices.move_to_end(device)
                self._drop_empty(job.asker)
                if tenant is not None:
                    self._tenants[tenant] += 1
                if device is not None:
                    self._devices[device] += 1
                return job
        return None

    def remove(self, job: J) -> bool:
        """Remove a waiting job; return whether it was waiting."""
        jobs = self._waiting.get(job.asker.tenant, OrderedDict()).get(job.asker.device)
        if jobs is None or job not in jobs:
            return False
        jobs.remove(job)
        self._drop_empty(job.asker)
        self._uncount(self._jobs, job.asker.device)
        return True

    def finished(self, job: J) -> None:
        """Return the share of a job that ran."""
        self._uncount(self._tenants, job.asker.tenant)
        self._uncount(self._devices, job.asker.device)
        self._uncount(self._jobs, job.asker.device)

    def clear(self) -> list[J]:
        """Remove and return all waiting jobs."""
        waiting = [job for devices in self._waiting.values() for jobs in devices.values() for job in jobs]
        for job in waiting:
            self.remove(job)
        return waiting

    def _drop_empty(self, asker: Asker) -> None:
        devices = self._waiting[asker.tenant]
        if not devices[asker.device]:
            del devices[asker.device]
        if not devices:
            del self._waiting[asker.tenant]

    @staticmethod
    def _uncount(counter: Counter[T], key: T | None) -> None:
        if key is not None:
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
