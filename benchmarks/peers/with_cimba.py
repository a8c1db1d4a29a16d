"""Lines with several stations on cimba, in two styles; the faster one counts. Runs in the peers' environment.

"processes": as its own documentation writes a queue. "events": without processes, the leanest that it can express.
"""

import json
import sys
import time

import cimba as cb
from cimba import random

ASKED = json.loads(sys.argv[1])
STATIONS = ASKED["stations"]
ROOM = min(1 << 16, 1 << ASKED["customers"].bit_length())  # for those who wait: a power of 2, no larger than it need be


class Processes(cb.Model):
    """An arrival process, a process for each station, and a store of arrival times between them."""

    customers: cb.Param[int] = 1
    warm: cb.Param[int] = 0
    service: cb.Param[float] = 1.0
    line: cb.Store[float]
    served: int = 0
    waited: float = 0.0
    counted: int = 0
    mean_wait: cb.Output[float]

    @cb.process
    def arrivals(self):
        for _ in range(self.customers):
            cb.hold(random.exponential(1.0))
            self.line.put(cb.now())

    @cb.process(copies=STATIONS)
    def station(self):
        while True:
            came = self.line.get()
            self.served += 1
            if self.served > self.warm:
                self.waited += cb.now() - came
                self.counted += 1
            cb.hold(random.exponential(self.service))

    @cb.on_end
    def measure(self):
        self.mean_wait = self.waited / self.counted


class Events(cb.Model):
    """Arrivals and ends of service as events; the line is a ring of arrival times."""

    customers: cb.Param[int] = 1
    warm: cb.Param[int] = 0
    service: cb.Param[float] = 1.0
    line: cb.Array[float] = cb.Array(ROOM)
    free: int = STATIONS
    came: int = 0
    joined: int = 0
    served: int = 0
    waited: float = 0.0
    mean_wait: cb.Output[float]

    @cb.on_start
    def begin(self):
        cb.schedule(self.arrives, random.exponential(1.0))

    @cb.event
    def arrives(self):
        self.came += 1
        if self.free > 0:
            self.free -= 1
            self.joined += 1
            self.served += 1
            cb.schedule(self.leaves, random.exponential(self.service))
        else:
            self.line[self.joined & (ROOM - 1)] = cb.now()
            self.joined += 1
        if self.came < self.customers:
            cb.schedule(self.arrives, random.exponential(1.0))

    @cb.event
    def leaves(self):
        if self.served < self.joined:
            came = self.line[self.served & (ROOM - 1)]
            self.served += 1
            if self.served > self.warm:
                self.waited += cb.now() - came
            cb.schedule(self.leaves, random.exponential(self.service))
        else:
            self.free += 1

    @cb.on_end
    def measure(self):
        self.mean_wait = self.waited / (self.served - self.warm)


def main() -> None:
    """Play every batch, and print what it took."""
    model = {"processes": Processes, "events": Events}[ASKED["style"]]()
    model.service = STATIONS * ASKED["utilization"]
    model.customers = ASKED["customers"]
    model.warm = ASKED["warm"]
    cb.Experiment(model, replications=1, seed=1).run(workers=1)  # compile first
    cpu, wall, waits = [], [], []
    for batch in range(ASKED["batches"]):
        experiment = cb.Experiment(model, replications=ASKED["lines"], seed=1000 + batch)
        cpu_from, wall_from = time.process_time(), time.perf_counter()
        results = experiment.run(workers=1, on_failure="raise")
        cpu.append(time.process_time() - cpu_from)
        wall.append(time.perf_counter() - wall_from)
        waits += results[model].mean_wait.values.ravel().tolist()
    print(json.dumps({"cpu_s": cpu, "wall_s": wall, "waits": waits}))


main()
