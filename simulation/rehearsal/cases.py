"""What comes up in a precinct and is answered by a choice: at the door, in the room, at realignment, by telephone.

A case has one right answer; every answer is accepted and has its consequence. Knows nothing of seats and of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from simulation.rehearsal import citations
from simulation.rehearsal.view import Text, say, say_many


@dataclass(frozen=True, slots=True)
class Answer:
    """One way to answer, and what comes of it."""

    value: str
    label: Text
    right: bool
    consequence: Text


@dataclass(frozen=True, slots=True)
class Case:
    """A situation that asks for a decision. `id` is unique in a precinct's evening."""

    id: str
    title: Text
    story: tuple[Text, ...]
    answers: tuple[Answer, ...]
    citation: Text
    hint: Text

    @property
    def right(self) -> Answer:
        """The answer that law and practice ask for."""
        return next(answer for answer in self.answers if answer.right)

    def answer(self, value: str) -> Answer | None:
        """The answer of this value."""
        return next((answer for answer in self.answers if answer.value == value), None)

    def turned(self, by: int) -> Case:
        """The same with its answers in another order, so that the right one is not always the first."""
        at = by % len(self.answers)
        return replace(self, answers=self.answers[at:] + self.answers[:at])


def _case(name: str, title: Text, story: Iterable[Text], answers: Iterable[Answer], citation: Text, hint: Text) -> Case:
    return Case(name, title, tuple(story), tuple(answers), citation, hint)


# At the door


def missing_voter(name: str = "missing_voter", person: str = "Alex") -> Case:
    """Somebody is not on the list."""
    return _case(
        name,
        say("Not on the list"),
        [say("{person} is not on the list of voters. The line behind is long.", person=person)],
        [
            Answer(
                "register",
                say("Let {person} register now, at the registration table", person=person),
                True,
                say("{person} fills in the form and is in.", person=person),
            ),
            Answer(
                "back",
                say("Send {person} to the back of the line", person=person),
                False,
                say(
                    "{person} waits again for nothing: the form is still missing. In the end you register {person}.",
                    person=person,
                ),
            ),
            Answer(
                "home",
                say("Send {person} home", person=person),
                False,
                say(
                    "{person} protests, and is right. A neighbor brings {person} back, and you register {person}.",
                    person=person,
                ),
            ),
            Answer(
                "let_in",
                say("Let {person} in without a form", person=person),
                False,
                say("At the count one person more would be in the room than checked in. You go and fetch the form."),
            ),
        ],
        citations.ON_THE_SPOT,
        say("Registration takes some minutes. Where should it happen, so that the line can go on?"),
    )


def new_registration(name: str = "new_registration", person: str = "Alex") -> Case:
    """Somebody belongs to the other party, or has moved."""
    return _case(
        name,
        say("A new registration"),
        [say("{person} has moved here and is registered with another party.", person=person)],
        [
            Answer(
                "register",
                say("Give {person} the form: registration and party can be changed tonight", person=person),
                True,
                say("{person} fills in the form and is in.", person=person),
            ),
            Answer(
                "observer",
                say("Let {person} watch, but not take part", person=person),
                False,
                say("{person} asks for the rule. There is none. You hand out the form after all.", person=person),
            ),
            Answer(
                "home",
                say("Send {person} home", person=person),
                False,
                say(
                    "{person} calls the county party. They call you. {person} comes back and registers.", person=person
                ),
            ),
        ],
        citations.ON_THE_SPOT,
        say("May people change their registration tonight?"),
    )


def wrong_line(name: str = "wrong_line", person: str = "Alex") -> Case:
    """Somebody stands in another precinct's line."""
    return _case(
        name,
        say("The wrong line"),
        [
            say(
                "{person} has waited ten minutes. The address belongs to another precinct in this building.",
                person=person,
            )
        ],
        [
            Answer(
                "walk",
                say("Have somebody take {person} to the right table, without another wait", person=person),
                True,
                say("{person} is checked in where {person} lives.", person=person),
            ),
            Answer(
                "here",
                say("Check {person} in here", person=person),
                False,
                say(
                    "The other precinct's list has {person}, too. You strike {person} from your list again.",
                    person=person,
                ),
            ),
            Answer(
                "end",
                say("Send {person} to the end of the other line", person=person),
                False,
                say("{person} waits twice, and tells everybody so. Other people leave the line.", person=person),
            ),
        ],
        citations.OWN_PRECINCT,
        say("In which precinct may a person take part?"),
    )


def forms_out(name: str = "forms_out", waiting: int = 6) -> Case:
    """The registration forms run out."""
    return _case(
        name,
        say("The forms run out"),
        [
            say_many(
                "The registration forms are gone. {count} person waits for one.",
                "The registration forms are gone. {count} people wait for one.",
                waiting,
            )
        ],
        [
            Answer(
                "print",
                say("Have new forms copied, and go on checking in people who are on the list"),
                True,
                say("The line goes on. The copies come after a quarter of an hour, and everybody is in."),
            ),
            Answer(
                "stop",
                say("Stop the line until there are forms"),
                False,
                say("Everybody waits for a few. The start would be late; you open the line again."),
            ),
            Answer(
                "later",
                say("Let them in without a form, and sort it out later"),
                False,
                say("Nobody could say who checked in. You call them back to the table."),
            ),
            Answer(
                "away",
                say("Turn them away"),
                False,
                say("They stood in line in time. They protest, and you let them back in."),
            ),
        ],
        citations.ON_THE_SPOT,
        say("Only new registrations need a form."),
    )


def long_line(name: str = "long_line", waiting: int = 40) -> Case:
    """The line at check-in is long."""
    return _case(
        name,
        say("A long line"),
        [
            say_many(
                "{count} person waits. One table checks the list and registers people, too.",
                "{count} people wait. One table checks the list and registers people, too.",
                waiting,
            )
        ],
        [
            Answer(
                "split",
                say("Make two lines: one for people on the list, one for registrations"),
                True,
                say("The quick line is quick again."),
            ),
            Answer("wait", say("Go on as before"), False, say("The line grows, and you start late.")),
            Answer(
                "skip",
                say("Let people in without checking in"),
                False,
                say("Nobody would know how many checked in. You bring them back to the table."),
            ),
        ],
        citations.IN_LINE,
        say("A registration takes about five times as long as a name on the list."),
    )


def room_full(name: str = "room_full", people: int = 120, places: int = 100) -> Case:
    """More people than the room holds."""
    return _case(
        name,
        say("The room is too small"),
        [say("{people} people have come. The room holds {places}.", people=people, places=places)],
        [
            Answer(
                "move",
                say("Find a larger room, or open a second one, and tell everybody at the door"),
                True,
                say("The gym is free. It takes twenty minutes. Nobody is lost."),
            ),
            Answer(
                "close",
                say("Close the door when the room is full"),
                False,
                say("People who came in time stand outside. They protest, and you have to move after all."),
            ),
            Answer(
                "crowd",
                say("Let everybody in, standing"),
                False,
                say("The janitor stops it: the fire rules forbid it. You move after all."),
            ),
        ],
        citations.SAFETY,
        say("Whoever is in line in time takes part. Where is there more room?"),
    )


def line_at_seven(name: str = "line_at_seven", waiting: int = 7) -> Case:
    """People still stand in line at the call to order."""
    return _case(
        name,
        say("Time to begin, and a line"),
        [
            say_many(
                "It is time for the call to order. {count} person still stands in line.",
                "It is time for the call to order. {count} people still stand in line.",
                waiting,
            )
        ],
        [
            Answer(
                "mark",
                say("Mark the end of the line, and check in everybody in front of it"),
                True,
                say("Everybody who was in line in time is in. Who comes later may watch."),
            ),
            Answer(
                "close",
                say("Close the door now"),
                False,
                say("They stood in line in time. The county party calls, and you let them in."),
            ),
            Answer(
                "open",
                say("Leave the door open for anybody who comes later"),
                False,
                say("People come in later and want to be counted. You have to send them out again."),
            ),
        ],
        citations.IN_LINE,
        say("What counts is who stood in line at the call to order."),
    )


# In the room


def latecomer(name: str = "latecomer", person: str = "Alex") -> Case:
    """Somebody comes after N was frozen."""
    return _case(
        name,
        say("Somebody comes late"),
        [say("{person} comes in now and was not in line at the call to order.", person=person)],
        [
            Answer(
                "watch",
                say("{person} may watch. N stays", person=person),
                True,
                say("{person} sits down with the observers.", person=person),
            ),
            Answer(
                "count",
                say("{person} takes part. N goes up by one", person=person),
                False,
                say("The secretary objects and reads the rule. {person} may watch, N stays.", person=person),
            ),
            Answer(
                "join",
                say("{person} takes part. N stays", person=person),
                False,
                say("The groups would hold more people than N. {person} may watch.", person=person),
            ),
        ],
        citations.IN_LINE,
        say("Who may take part: whoever stood in line at the call to order."),
    )


def leaves_early(name: str = "leaves_early", people: int = 2) -> Case:
    """People say that they will leave, after N was frozen."""
    return _case(
        name,
        say("People want to go home"),
        [
            say_many(
                "{count} person will go home before the end. The secretary asks: do we change N then?",
                "{count} people will go home before the end. The secretary asks: do we change N then?",
                people,
            )
        ],
        [
            Answer("stays", say("No. N is frozen and stays"), True, say("The secretary leaves N as it is.")),
            Answer(
                "less",
                say("Yes. N goes down by the people who leave"),
                False,
                say("A captain reads the rule: N is frozen. The secretary leaves N as it is."),
            ),
            Answer(
                "forbid",
                say("Nobody may leave before the end"),
                False,
                say("You cannot keep anybody. They go, and N stays as it is."),
            ),
        ],
        citations.FROZEN,
        say("What does frozen mean?"),
    )


# At realignment


def leave_viable(name: str, group: Text, other: Text, people: int, free: bool) -> Case:
    """People of a viable group want to change sides."""
    story = say_many(
        "{group} is viable. {count} person of this group wants to go over to {other}.",
        "{group} is viable. {count} people of this group want to go over to {other}.",
        people,
        group=group,
        other=other,
    )
    if free:
        return _case(
            name,
            say("People of a viable group want to move"),
            [story],
            [
                Answer("yes", say("They may move"), True, say("They talk it over once more, and stay where they are.")),
                Answer(
                    "no", say("They must stay"), False, say("They read you the rule. Then they stay of their own will.")
                ),
            ],
            citations.FREE,
            say("Which year's rules are in force tonight?"),
        )
    return _case(
        name,
        say("People of a viable group want to move"),
        [story],
        [
            Answer("no", say("They must stay: a viable group is locked"), True, say("They stay, with a sigh.")),
            Answer(
                "yes",
                say("They may move"),
                False,
                say("The captain of {group} protests and reads the rule. They go back to {group}.", group=group),
            ),
            Answer(
                "vote",
                say("Let the room vote on it"),
                False,
                say("The room cannot vote the rule away. The captain of {group} protests, and they stay.", group=group),
            ),
        ],
        citations.LOCKED,
        say("May a viable group become smaller?"),
    )


def join_viable(name: str, group: Text, other: Text, people: int) -> Case:
    """People of a group that is not viable want to join a viable one."""
    return _case(
        name,
        say("People want to join another group"),
        [
            say_many(
                "{group} is not viable. {count} person of this group wants to join {other}.",
                "{group} is not viable. {count} people of this group want to join {other}.",
                people,
                group=group,
                other=other,
            )
        ],
        [
            Answer("yes", say("They may join"), True, say("They walk over to {other}.", other=other)),
            Answer(
                "no",
                say("They must stay with their group"),
                False,
                say("Their captain reads the rule: they may move. They walk over to {other}.", other=other),
            ),
            Answer(
                "home",
                say("They must leave the room"),
                False,
                say("They protest, and are right. They walk over to {other}.", other=other),
            ),
        ],
        citations.MAY_MOVE,
        say("What may people of a group do that is not viable?"),
    )


def combine(name: str, group: Text, others: int) -> Case:
    """A group below the threshold gathers people from other groups below it."""
    return _case(
        name,
        say("Groups want to combine"),
        [
            say_many(
                "{group} is not viable. {count} person from other groups below the threshold wants to join, "
                "so that {group} becomes viable.",
                "{group} is not viable. {count} people from other groups below the threshold want to join, "
                "so that {group} becomes viable.",
                others,
                group=group,
            )
        ],
        [
            Answer("yes", say("They may combine"), True, say("{group} is counted again later.", group=group)),
            Answer(
                "no",
                say("A group that was not viable stays not viable"),
                False,
                say("The captain of {group} reads the rule: groups may combine. They do.", group=group),
            ),
            Answer(
                "later",
                say("Only in a second realignment"),
                False,
                say("This realignment is the time for it, says the captain of {group}. They combine.", group=group),
            ),
        ],
        citations.MAY_MOVE,
        say("Two groups below the threshold may become one viable group."),
    )


def go_home(name: str, group: Text, people: int) -> Case:
    """People of a group that is not viable leave at realignment."""
    return _case(
        name,
        say("People leave at realignment"),
        [
            say_many(
                "{count} person of {group} leaves the caucus.",
                "{count} people of {group} leave the caucus.",
                people,
                group=group,
            ),
            say("Does the threshold change?"),
        ],
        [
            Answer("same", say("No. N and the threshold stay"), True, say("You announce it, and everybody goes on.")),
            Answer(
                "lower",
                say("Yes. N is smaller now, and so is the threshold"),
                False,
                say("The secretary reads the rule: N is frozen. The threshold stays."),
            ),
        ],
        citations.FROZEN,
        say("The threshold is made of N. Is N frozen?"),
    )


def second_realignment(name: str, group: Text, free: bool) -> Case:
    """A group asks for another round."""
    story = say("{group} asks for another realignment.", group=group)
    if free:
        return _case(
            name,
            say("Another realignment?"),
            [story],
            [
                Answer(
                    "yes",
                    say("Another round may be held"),
                    True,
                    say("You ask the room. Nobody wants to move any more."),
                ),
                Answer(
                    "no",
                    say("There is only one"),
                    False,
                    say("They read you the rule. You ask the room: nobody moves."),
                ),
            ],
            citations.REPEATED,
            say("Which year's rules are in force tonight?"),
        )
    return _case(
        name,
        say("Another realignment?"),
        [story],
        [
            Answer("no", say("No. There is one realignment only"), True, say("They accept it.")),
            Answer(
                "yes",
                say("Yes, five more minutes"),
                False,
                say("The other captains protest and read the rule. The count stands."),
            ),
            Answer(
                "vote",
                say("Let the room vote on it"),
                False,
                say("The room cannot vote the rule away. The count stands."),
            ),
        ],
        citations.ONE_REALIGNMENT,
        say("How many realignments are there?"),
    )


# By telephone, and whatever else interrupts


def headquarters_corrects(name: str = "headquarters_corrects") -> Case:
    """Headquarters wants another number than the signed worksheet has."""
    return _case(
        name,
        say("Headquarters calls"),
        [say("A tired voice says: your sum is wrong, we will write one delegate more for the first group.")],
        [
            Answer(
                "worksheet",
                say("Read the signed worksheet again, and ask that it is reported as it is"),
                True,
                say("The voice reads it back, number by number. It stays as it was signed."),
            ),
            Answer(
                "agree",
                say("Agree, so that the call ends"),
                False,
                say("The captains hear of it and protest. Headquarters takes the change back."),
            ),
            Answer(
                "change",
                say("Change the worksheet yourself"),
                False,
                say("The signatures would be worth nothing. The secretary stops you."),
            ),
        ],
        citations.SIGNED,
        say("What binds: the worksheet that was signed, or a voice on the telephone?"),
    )


def called_again(name: str = "called_again") -> Case:
    """Headquarters asks for a result that it holds already."""
    return _case(
        name,
        say("Headquarters asks again"),
        [say("A caller from headquarters asks for your result. You have reported it already, or soon will.")],
        [
            Answer(
                "worksheet",
                say("Say how it was reported, and read the same worksheet again"),
                True,
                say("The caller compares: it is the same. Thank you."),
            ),
            Answer(
                "memory",
                say("Say the numbers from memory"),
                False,
                say("Two numbers differ, and somebody has to call a third time."),
            ),
            Answer("hang", say("Hang up"), False, say("The caller tries again a quarter of an hour later.")),
        ],
        citations.SAME,
        say("Where do the numbers stand that bind?"),
    )


def chair_leaves(name: str = "chair_leaves") -> Case:
    """The person in the chair is called away."""
    return _case(
        name,
        say("The chair is called away"),
        [say("You have to leave the room for a while. Somebody else has to go on.")],
        [
            Answer(
                "elect",
                say("Have the room elect somebody, and hand over the papers and the numbers, read aloud"),
                True,
                say("Your deputy reads the numbers back to you. When you return, everything is as it should be."),
            ),
            Answer(
                "go",
                say("Leave the papers on the table and go"),
                False,
                say("Nobody knows who chairs now. The secretary calls you back to hand over."),
            ),
            Answer(
                "take",
                say("Take the papers along, so that nothing is lost"),
                False,
                say("The room stands still without its papers. You turn round and hand them over."),
            ),
            Answer("end", say("End the caucus"), False, say("Nobody goes home. The room elects a deputy itself.")),
        ],
        citations.OPENING,
        say("Whoever goes on needs the papers, and two people should have heard every number."),
    )


def strangers(name: str = "strangers") -> Case:
    """Reporters, or people who make trouble."""
    return _case(
        name,
        say("A stranger asks for the numbers"),
        [say("Somebody at the door films the room and asks for the hotline's number.")],
        [
            Answer(
                "public",
                say("The result is announced in the room. The hotline's number is only for chairs"),
                True,
                say("The stranger nods and goes on filming the room."),
            ),
            Answer(
                "number",
                say("Give the number"),
                False,
                say("An hour later strangers block the hotline. Chairs wait longer."),
            ),
            Answer("out", say("Throw the stranger out"), False, say("It is a public meeting. The room grumbles.")),
        ],
        citations.CALM,
        say("The meeting is public. Is the hotline?"),
    )


def wrong_tool(name: str = "wrong_tool") -> Case:
    """An outside check says that a right sum is wrong."""
    return _case(
        name,
        say("Somebody else's calculator"),
        [say("A campaign's calculator on a phone shows another threshold than yours.")],
        [
            Answer(
                "law",
                say("Work it out once more by the rule, aloud, with the secretary"),
                True,
                say("The calculator had rounded down. Everybody has seen it now."),
            ),
            Answer(
                "take",
                say("Take the calculator's number"),
                False,
                say("A captain works it out by hand. You go back to the rule."),
            ),
            Answer(
                "stop",
                say("Stop until headquarters has answered"),
                False,
                say("Nobody answers. You go on by the rule."),
            ),
        ],
        citations.FIFTEEN,
        say("The rule is on the worksheet: a fraction of N, always rounded up."),
    )
