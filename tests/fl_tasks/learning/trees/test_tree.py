"""Tree documents: read back as written, and nothing else is taken for a tree."""

import numpy as np
import pytest

from tombolo.fl_tasks.learning.trees.tree import SplitRecord, Tree, directions, margins
from tombolo.storage.canonical import canonical, parse


def stump():
    tree = Tree(0)
    root = tree.add(0.0, 10.0)
    tree.split(root, 1, 0, 3, 2.5, tree.add(-1.0, 4.0), tree.add(0.5, 6.0))
    return tree


def test_rows_fall_to_their_leaves():
    codes = np.array([[0], [1], [2], [3]], dtype=np.uint8)
    for missing_left, first in ((True, -1.0), (False, 0.5)):
        left = directions([SplitRecord(0, 2, missing_left)], codes)
        found = margins([stump()], np.array([0.25]), [np.zeros((0, 4), dtype=bool), left], 4)
        assert found[:, 0].tolist() == [0.25 + first, -0.75, -0.75, 0.75]


def test_document_is_read_back():
    document = parse(canonical(stump().document()))
    assert Tree.from_document(document, outputs=1, parties=2) == stump()
    assert stump().depth == 1


@pytest.mark.parametrize(
    "change",
    [
        {"left": [0, -1, -1]},
        {"right": [3, -1, -1]},
        {"party": [2, -1, -1]},
        {"record": [-1, -1, -1]},
        {"value": [0.0, float("nan"), 1.0]},
        {"gain": [0.0]},
        {"output": 1},
    ],
)
def test_what_is_no_tree_is_refused(change):
    with pytest.raises(ValueError):
        Tree.from_document({**stump().document(), **change}, outputs=1, parties=2)
