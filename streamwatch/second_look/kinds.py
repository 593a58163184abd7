"""Common things that a crop may show instead of what a watch looks for. Pure.

In a second look a watch's words are held against words for other things. A word that may mean the
same thing must never be among them: a runner is a person, and a "husky" is a dog. So the things are
in kinds, with the words that may mean one of the kind, and kinds of a sort in a group:

- Of a phrase whose main word is known ("dog" in "brown dog with a ball") the kinds that it names
  are left out, and all others are held against it: a cat, too.
- Of any other phrase ("labradoodle") each group is left out as a whole in which one word's vector
  is near its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streamwatch.config import words
from streamwatch.records import Vectors


@dataclass(frozen=True, slots=True)
class Kind:
    """`rivals` are held against a watch's words; `more` are more words for things of the kind."""

    rivals: tuple[str, ...]
    more: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.rivals, *self.more)


@dataclass(frozen=True, slots=True)
class Group:
    """Kinds of a sort, and words for any of them."""

    kinds: tuple[Kind, ...]
    any: tuple[str, ...] = ()

    @property
    def rivals(self) -> tuple[str, ...]:
        return tuple(rival for kind in self.kinds for rival in kind.rivals)


GROUPS = (
    Group(
        (
            Kind(
                ("person", "man", "woman", "child"),
                (
                    "people", "human", "adult", "boy", "girl", "baby", "toddler", "kid", "lady",
                    "guy", "teenager", "family", "crowd", "pedestrian", "passer-by", "somebody",
                    "someone", "stranger", "visitor", "guest", "neighbour", "neighbor", "intruder",
                    "burglar", "thief", "trespasser", "runner", "jogger", "walker", "hiker",
                    "cyclist", "bicyclist", "biker", "motorcyclist", "rider", "skater", "driver",
                    "worker", "courier", "postman", "mailman", "delivery man", "police officer",
                    "policeman", "officer", "guard", "soldier", "firefighter", "nurse", "doctor",
                    "patient", "student", "teacher", "customer", "shopper", "employee", "tourist",
                    "commuter", "businessman", "gardener", "farmer", "swimmer", "player", "athlete",
                    "builder", "cleaner", "musician", "dancer", "clown", "face",
                ),
            ),
        ),
    ),
    Group(
        (
            Kind(("dog",), ("puppy", "hound", "terrier", "retriever", "bulldog", "poodle", "wolf")),
            Kind(("cat",), ("kitten", "tabby", "feline", "tomcat")),
            Kind(("bird",), ("pigeon", "crow", "duck", "goose", "chicken", "hen", "owl", "eagle")),
            Kind(("fox",)),
            Kind(("deer",), ("stag", "antelope", "moose", "elk")),
            Kind(("bear",)),
            Kind(("rabbit",), ("hare", "bunny")),
            Kind(("squirrel",), ("chipmunk", "rat", "mouse")),
            Kind(("raccoon",), ("badger", "hedgehog")),
            Kind(("horse",), ("pony", "donkey", "foal")),
            Kind(("cow",), ("bull", "cattle", "calf")),
            Kind(("sheep",), ("goat", "lamb")),
            Kind(("pig",), ("boar", "piglet")),
            Kind(("monkey",), ("ape", "gorilla", "chimpanzee")),
            Kind(("elephant",)),
            Kind(("giraffe",)),
        ),
        ("animal", "pet", "creature", "livestock", "wildlife", "stray"),
    ),
    Group(
        (
            Kind(
                ("car",),
                (
                    "automobile", "sedan", "suv", "taxi", "cab", "limousine", "convertible", "jeep",
                    "hatchback", "coupe", "wagon", "pickup", "minivan", "auto",
                ),
            ),
            Kind(
                ("truck", "van"),
                (
                    "lorry", "trailer", "dumper", "tanker", "pickup", "minivan", "camper",
                    "ambulance", "transporter", "hgv", "caravan", "motorhome", "semi-trailer",
                ),
            ),
            Kind(("bus",), ("coach", "minibus", "tram", "shuttle")),
            Kind(
                ("tractor",),
                ("excavator", "bulldozer", "digger", "lawn mower", "mower", "forklift"),
            ),
            Kind(("train",), ("tram", "locomotive", "subway")),
            Kind(("airplane",), ("plane", "jet", "aircraft", "helicopter", "drone")),
            Kind(("boat",), ("ship", "yacht", "canoe", "ferry")),
            Kind(
                ("bicycle",),
                ("bike", "cyclist", "bicyclist", "biker", "rider", "tricycle", "e-bike", "scooter"),
            ),
            Kind(
                ("motorcycle",),
                ("motorbike", "bike", "moped", "scooter", "biker", "motorcyclist", "rider"),
            ),
            Kind(("stroller",), ("pram", "buggy", "pushchair", "wheelchair", "cart", "trolley")),
        ),
        ("vehicle", "traffic"),
    ),
    Group(
        (
            Kind(("backpack",), ("rucksack", "knapsack", "satchel", "schoolbag")),
            Kind(("suitcase",), ("luggage", "baggage", "trunk", "briefcase", "case", "trolley")),
            Kind(("handbag",), ("purse", "pouch")),
            Kind(
                ("parcel", "box"),
                ("package", "carton", "crate", "delivery", "shipment", "mail", "post", "case"),
            ),
            Kind(("bucket",), ("pail", "bin", "can")),
            Kind(("barrel",), ("drum", "keg")),
        ),
        ("bag", "container", "object", "item", "thing"),
    ),
    Group(
        (
            Kind(("chair", "sofa"), ("stool", "seat", "couch", "armchair")),
            Kind(("table", "bench"), ("desk", "seat")),
            Kind(("washing machine", "refrigerator"), ("dryer", "fridge", "oven", "machine")),
            Kind(("television",), ("screen", "monitor", "tv")),
        ),
        ("furniture", "appliance"),
    ),
    Group(
        (
            Kind(("tree", "bush"), ("hedge", "branch", "leaves")),
            Kind(("flower", "potted plant"), ("pot", "vase")),
        ),
        ("plant",),
    ),
    Group(
        (
            Kind(("traffic light", "street lamp"), ("light", "lamp", "lantern")),
            Kind(("stop sign",), ("sign", "signpost")),
            Kind(("fence",), ("gate", "railing", "barrier")),
            Kind(("mailbox",), ("letterbox", "post box")),
            Kind(("statue",), ("sculpture", "figure", "mannequin", "snowman", "scarecrow")),
            Kind(("umbrella",), ("parasol",)),
            Kind(("ball", "balloon"), ("toy",)),
        ),
    ),
    Group(
        (
            Kind(
                ("background", "empty street", "wall", "building", "road", "grass", "window"),
                ("house", "street", "door", "floor", "sky", "roof", "shadow", "pavement"),
            ),
        ),
    ),
)  # fmt: skip

_ENDS_THE_MAIN_PART = frozenset(
    ("with", "without", "in", "on", "at", "of", "under", "near", "by", "behind", "from", "for",
     "left", "parked", "dressed")
)  # fmt: skip
"""What comes after one of these words, or after one in -ing, tells more of the thing."""

_THINGS_IN_ING = frozenset(
    word
    for group in GROUPS
    for kind in group.kinds
    for name in kind.names
    for word in words(name)
    if word.endswith("ing")
)
"""As in "brick building", which is no brick that does something."""

_ANYBODY = (
    "people", "human", "adult", "somebody", "someone", "stranger", "visitor", "guest", "neighbour",
    "neighbor", "intruder", "burglar", "thief", "trespasser", "passer-by", "customer", "employee",
)  # fmt: skip
"""Words that say who a person is, which no picture shows."""
_PERSON = GROUPS[0].kinds[0].rivals

_PLURALS = {
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "wolves": "wolf",
    "calves": "calf",
}


def all_rivals() -> tuple[str, ...]:
    """Every rival of every kind, each once."""
    return tuple(dict.fromkeys(rival for group in GROUPS for rival in group.rivals))


def rivals_of(
    prompts: Iterable[str], vectors: Mapping[str, Vectors], near: float
) -> tuple[str, ...]:
    """The rivals that mean something else than each of the prompts.

    `vectors` has those of the prompts and of `all_rivals()`; from the cosine `near` on two words
    may mean the same.
    """
    kept = all_rivals()
    for prompt in prompts:
        own = set(_may_mean(prompt, vectors, near))
        kept = tuple(rival for rival in kept if rival not in own)
    return kept


def shown_as(prompts: Iterable[str]) -> tuple[str, ...]:
    """What a picture shows of prompts that say who somebody is: an intruder is a person there."""
    anybody = {_singular(name) for name in _ANYBODY}
    return _PERSON if any(_singular(prompt) in anybody for prompt in prompts) else ()


def _may_mean(prompt: str, vectors: Mapping[str, Vectors], near: float) -> Iterable[str]:
    """The rivals that may mean the same as the prompt."""
    known = False
    for group in GROUPS:
        if _named(prompt, group.any):
            known |= _is_main(prompt, group.any)
            yield from group.rivals
        for kind in group.kinds:
            if _named(prompt, kind.names):
                known |= _is_main(prompt, kind.names)
                yield from kind.rivals
    if known:
        return
    for group in GROUPS:
        if any(float(vectors[prompt] @ vectors[rival]) >= near for rival in group.rivals):
            yield from group.rivals


def _named(prompt: str, names: Iterable[str]) -> bool:
    """Whether the prompt holds one of the names, whole and in order."""
    inside = _singular(prompt)
    return any(_holds(inside, _singular(name)) for name in names)


def _is_main(prompt: str, names: Iterable[str]) -> bool:
    """Whether its main part, before "with" and the like, ends with one of the names."""
    inside = _singular(prompt)
    for place, word in enumerate(inside):
        if place and (word in _ENDS_THE_MAIN_PART or _tells_what_it_does(word)):
            inside = inside[:place]
            break
    return any(inside[-len(parts) :] == parts for parts in map(_singular, names))


def _holds(inside: tuple[str, ...], sought: tuple[str, ...]) -> bool:
    return any(
        inside[first : first + len(sought)] == sought
        for first in range(len(inside) - len(sought) + 1)
    )


def _tells_what_it_does(word: str) -> bool:
    return word.endswith("ing") and word not in _THINGS_IN_ING


def _singular(text: str) -> tuple[str, ...]:
    """Its words, each as if it were one thing."""
    return tuple(_singular_word(word) for word in words(text))


def _singular_word(word: str) -> str:
    """Without the end of a plural. What is no plural may lose its end too, but always the same."""
    if word in _PLURALS:
        return _PLURALS[word]
    if word.endswith("men"):
        return f"{word.removesuffix('men')}man"
    if len(word) > 4 and word.endswith("ies"):
        return f"{word.removesuffix('ies')}y"
    if word.endswith(("ches", "shes", "xes", "buses")):
        return word.removesuffix("es")
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("us") else word
