"""Changes that look as dangerous as the mutations and are not.

The whole state space is searched and nothing is found. Each names the mutation that takes its
place, where there is one.
"""

from __future__ import annotations

from tests.protocol.mutations import AUTOCOMMIT, TRANSACTION, mutation

HARMLESS = (
    mutation(
        "SET without NX when minting",
        "others' entries and loads die: misses, never stale. See: puts back what the lookup saw",
        faults="crash",
        lookups=False,
        mint="overwrite",
    ),
    mutation(
        "release leaves stamps, transactions only",
        "FENCE has deleted them and nobody could mint since",
        faults="crash flush unknown",
        lookups=False,
        release_bumps=False,
    ),
    mutation(
        "purge without bump, transactions only",
        "the same",
        faults="crash flush unknown",
        lookups=False,
        purge_bumps=False,
    ),
    mutation(
        "who met a fence in its lookup may mint if it is gone by then",
        "the stamps are as real as any, and the query comes after them",
        TRANSACTION,
        AUTOCOMMIT,
        faults="crash",
        doomed_store="mint anew",
    ),
    mutation(
        "stamps that all stood at the lookup are minted all the same",
        "MINT adopts what stands; the lookup is one instant too, and saves the script",
        TRANSACTION,
        AUTOCOMMIT,
        faults="crash flush unknown",
        held_by_lookup=False,
    ),
    mutation(
        "a renewal that arrives after the release",
        "fences nobody's tags for one life: misses",
        AUTOCOMMIT,
        TRANSACTION,
        lookups=False,
        renews_after_release=True,
    ),
)
