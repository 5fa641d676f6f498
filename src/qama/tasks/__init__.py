"""What codes are good for beyond search; NumPy only.

codes = qama.tasks.CodeSet.encode(codec, X, nbytes=48)

similarity(a, b)                 row by row: how alike are two texts?
near_duplicates(codes, 0.95)     all pairs above a score; `groups` joins them
join(a, b, 0.9)                  the same between two collections
kmeans(codes, 20)                clusters of codes, their vectors never held at once
classify(index, labels, Q)       nearest neighbours vote; below a threshold: none of them
Bridge.fit(X_here, X_there)      queries of one model against the documents of another
"""

from qama.tasks.bridge import Bridge
from qama.tasks.classify import Classified, classify
from qama.tasks.cluster import Clusters, kmeans
from qama.tasks.codeset import CodeSet
from qama.tasks.duplicates import Pairs, groups, join, near_duplicates
from qama.tasks.similarity import similarity

__all__ = [
    "Bridge",
    "Classified",
    "Clusters",
    "CodeSet",
    "Pairs",
    "classify",
    "groups",
    "join",
    "kmeans",
    "near_duplicates",
    "similarity",
]
