"""A plan of stations, operators and lines: the scenario that it makes, its files, its dollars."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simulation.experiment.staffing.operators import Rota, Slot, rota_of, shifts_of
from simulation.experiment.staffing.stations import volunteers_for
from simulation.randomness import Integers
from simulation.scenario.schema import Shift
from simulation.scenario.values import format_clock

if TYPE_CHECKING:
    from simulation.roster import Roster
    from simulation.scenario import Scenario

STATIONS_FILE = "stations.csv"
OPERATORS_FILE = "operators.csv"


@dataclass(frozen=True)
class Plan:
    """What is planned; None: as the scenario has it. `lines` 0: unlimited."""

    stations: tuple[int, ...] | None = None  # a number a site
    rota: Rota | None = None  # a number a slot
    lines: int | None = None


@dataclass(frozen=True)
class Planner:
    """A scenario with its slots: what turns plans into scenarios, files and dollars."""

    scenario: Scenario
    slots: Sequence[Slot]

    def with_stations(self, stations: Sequence[int] | None) -> Planner:
        """The same with a roster whose sites have these stations."""
        if stations is None:
            return self
        spec, document = self.scenario.spec, self.scenario.document
        spec = spec.model_copy(update={"checkin": spec.checkin.model_copy(update={"stations": None})})
        document = {**document, "checkin": {**document["checkin"], "stations": "none"}}
        changed = replace(self.scenario, spec=spec, document=document)
        changed.__dict__["roster"] = _with_stations(self.scenario.roster, stations)  # instead of reading it
        return Planner(changed, self.slots)

    def with_hotline(self, rota: Rota | None, lines: int | None) -> Scenario:
        """The scenario with this rota and so many lines."""
        spec, document = self.scenario.spec, self.scenario.document
        hotline: dict[str, object] = {}
        table = dict(document["hotline"])
        if rota is not None:
            tables = [
                {"from": format_clock(start), "to": format_clock(end), "count": count}
                for start, end, count in shifts_of(self.slots, rota)
            ]
            operators = [Shift.model_validate(one) for one in tables]
            for index, shift in enumerate(operators):
                shift.count.key = f"hotline.operators.{index}.count"  # as loading does
            hotline["operators"] = operators
            table["operators"] = tables
        if lines is not None:
            hotline["lines"] = lines
            table["lines"] = lines or "unlimited"
        changed = replace(
            self.scenario,
            spec=spec.model_copy(update={"hotline": spec.hotline.model_copy(update=hotline)}),
            document={**document, "hotline": table},
        )
        changed.__dict__["roster"] = self.scenario.roster
        return changed

    def stations(self) -> Integers:
        """The stations of each site."""
        everywhere = self.scenario.spec.checkin.stations
        roster = self.scenario.roster
        return roster.stations if everywhere is None else np.full(len(roster), everywhere, np.int64)

    def rota(self) -> list[float]:
        """The scenario's own operators in each slot."""
        return rota_of(self.scenario.spec.hotline.operators, self.slots)

    def station_dollars(self) -> int:
        """What a station costs, by the middle of what is assumed."""
        return self.scenario.spec.costs.station.middle

    def hour_dollars(self) -> int:
        """What an hour of an operator costs, by the middle of what is assumed."""
        return self.scenario.spec.costs.operator_hour.middle

    def operators_csv(self, rota: Rota) -> str:
        """The rota as a file that `--set hotline.operators=@FILE` reads."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("from", "to", "count"))
        writer.writerows(
            (format_clock(start), format_clock(end), count) for start, end, count in shifts_of(self.slots, rota)
        )
        return text.getvalue()


def _with_stations(roster: Roster, stations: Sequence[int]) -> Roster:
    """The roster with these stations, and the volunteers who run so many."""
    array, volunteers = (np.array(found, dtype=np.int64) for found in (stations, [*map(volunteers_for, stations)]))
    for column in (array, volunteers):
        column.setflags(write=False)
    changed = replace(roster, stations=array, volunteers=volunteers)
    return replace(changed, sha256=hashlib.sha256(changed.csv().encode()).hexdigest())
