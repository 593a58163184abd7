"""How alike the vectors of phrases are that mean the same, and of phrases that don't.

    python -m benchmarks.meanings [MODEL [TEXT_ENCODER]]

Where `streamwatch check` draws the line between two prompts that will find the same things
(`suggestions.SAME_MEANING`) comes from here: above every pair that people would want to tell apart.
"""

from __future__ import annotations

import statistics
import sys

from rich.console import Console
from rich.table import Table

from streamwatch.config import DetectorSettings
from streamwatch.prompts.embeddings import Embeddings

Pair = tuple[str, str]

SAME: tuple[Pair, ...] = (
    ("car", "automobile"), ("car", "a car"), ("red car", "a red car"),
    ("red car", "red automobile"), ("person", "human"), ("person", "a person"),
    ("person", "human being"), ("child", "kid"), ("people", "persons"), ("man", "a man"),
    ("bicycle", "bike"), ("motorbike", "motorcycle"), ("truck", "lorry"), ("truck", "trucks"),
    ("van", "a van"), ("bus", "coach bus"), ("parcel", "package"), ("parcel", "a parcel"),
    ("cardboard box", "carton box"), ("delivery person", "courier"),
    ("delivery van", "delivery vehicle"), ("mailman", "postman"), ("dog", "a dog"), ("dog", "dogs"),
    ("puppy", "young dog"), ("cat", "kitty"), ("sofa", "couch"), ("cell phone", "mobile phone"),
    ("trash can", "garbage bin"), ("rubbish bin", "garbage can"), ("backpack", "rucksack"),
    ("red backpack", "red rucksack"), ("hard hat", "safety helmet"),
    ("high-vis vest", "safety vest"), ("forklift", "fork lift truck"), ("airplane", "aeroplane"),
    ("sailing boat", "sailboat"), ("fire truck", "fire engine"), ("person on a bicycle", "cyclist"),
    ("person riding a bike", "cyclist"), ("pedestrian", "person walking"),
    ("open gate", "gate that is open"),
    ("person with a red backpack", "person carrying a red backpack"),
)  # fmt: skip

DIFFERENT: tuple[Pair, ...] = (
    ("red car", "blue car"), ("red car", "car"), ("red car", "red truck"),
    ("white van", "black van"), ("car", "truck"), ("car", "bus"), ("car", "bicycle"),
    ("car", "van"), ("truck", "van"), ("bicycle", "motorcycle"), ("person", "pedestrian"),
    ("person", "cyclist"), ("man", "woman"), ("man", "boy"), ("boy", "girl"), ("adult", "child"),
    ("person", "dog"), ("dog", "cat"), ("dog", "puppy"), ("dog", "wolf"), ("dog", "fox"),
    ("cat", "kitten"), ("horse", "cow"), ("bird", "pigeon"), ("parcel", "letter"),
    ("parcel", "backpack"), ("box", "bag"), ("backpack", "handbag"),
    ("red backpack", "blue backpack"), ("red backpack", "backpack"),
    ("person", "person with a backpack"), ("person with a helmet", "person without a helmet"),
    ("person", "person lying on the ground"), ("open door", "closed door"), ("open gate", "gate"),
    ("garage door open", "garage door closed"), ("laptop", "phone"), ("chair", "table"),
    ("smoke", "fire"), ("fire", "fire truck"), ("truck", "fire truck"), ("police car", "car"),
    ("ambulance", "fire truck"), ("delivery van", "van"), ("postman", "policeman"),
    ("yellow hard hat", "white hard hat"), ("cup", "bottle"), ("knife", "fork"),
    ("umbrella", "tent"), ("boat", "ship"), ("sailing boat", "boat"), ("airplane", "helicopter"),
)  # fmt: skip


def alike(embeddings: Embeddings, pairs: tuple[Pair, ...]) -> list[tuple[float, Pair]]:
    """Cosine and pair, the most alike first."""
    vectors = embeddings.vectors(sorted({phrase for pair in pairs for phrase in pair}))
    return sorted(((float(vectors[a] @ vectors[b]), (a, b)) for a, b in pairs), reverse=True)


def main() -> None:
    model, *encoder = sys.argv[1:] or ["toybox"]
    settings = DetectorSettings(model=model, text_encoder=encoder[0] if encoder else None)
    console = Console()
    found = {}
    for template in ("{}", "a photo of {}"):
        embeddings = Embeddings(settings.model_copy(update={"template": template}))
        same, different = alike(embeddings, SAME), alike(embeddings, DIFFERENT)
        found[template] = same, different
        bound = different[0][0]
        above = sum(cosine > bound for cosine, _ in same)
        console.print(
            f"{model}, template {template!r}: same {_spread(same)}; different {_spread(different)}."
        )
        console.print(
            f"{above} of {len(same)} pairs that mean the same are above {bound:.3f}, "
            f"the most alike of {len(different)} that don't."
        )
    table = Table()
    for heading in ("cosine", "same", "cosine", "different"):
        table.add_column(heading)
    same, different = found["{}"]
    for number in range(max(len(same), len(different))):
        cells = []
        for side in (same, different):
            if number < len(side):
                cosine, pair = side[number]
                cells += [f"{cosine:.3f}", " / ".join(pair)]
            else:
                cells += ["", ""]
        table.add_row(*cells)
    console.print(table)


def _spread(pairs: list[tuple[float, Pair]]) -> str:
    cosines = [cosine for cosine, _ in pairs]
    return f"{min(cosines):.2f} to {max(cosines):.2f}, median {statistics.median(cosines):.2f}"


if __name__ == "__main__":
    main()
