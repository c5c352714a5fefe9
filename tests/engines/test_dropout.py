import numpy as np
import pytest

from linprobe.engines.dropout import Dropout


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
def test_the_share_of_dropped_inputs_is_the_one_asked_for(share):
    masks = Dropout.of_epoch(share, 0, 0).masks(np.arange(1000), 500)
    assert {*np.unique(masks)} == {0.0, 1.0 / (1.0 - share)}
    deviation = np.sqrt(share * (1.0 - share) / masks.size)
    assert abs((masks == 0.0).mean() - share) < 4.0 * deviation
    assert abs(masks.mean() - 1.0) < 4.0 * deviation / (1.0 - share)


def test_masks_of_images_features_and_epochs_are_independent():
    kept = np.stack([Dropout.of_epoch(0.5, 0, epoch).masks(np.arange(300), 400) > 0.0 for epoch in range(4)])
    signs = np.where(kept, 1.0, -1.0)
    by_image, by_feature = signs.transpose(1, 0, 2).reshape(300, -1), signs.transpose(2, 0, 1).reshape(400, -1)
    for rows in (by_image, by_feature, signs.reshape(4, -1)):
        between = rows @ rows.T / rows.shape[1]
        np.fill_diagonal(between, 0.0)
        assert np.abs(between).max() < 6.0 / np.sqrt(rows.shape[1])


def test_the_mask_of_an_image_depends_on_its_position_and_the_key_alone():
    mask = Dropout.of_epoch(0.5, 3, 2)
    whole = mask.masks(np.arange(50), 30)
    assert np.array_equal(mask.masks(np.array([7, 3, 41]), 30), whole[[7, 3, 41]])
    assert np.array_equal(mask.masks(np.arange(50), 20), whole[:, :20])
    for other in (Dropout.of_epoch(0.5, 3, 3), Dropout.of_epoch(0.5, 4, 2)):
        assert not np.array_equal(other.masks(np.arange(50), 30), whole)


def test_the_masks_of_a_seed_stay_what_they_are():
    """Runs of an earlier version resume to the same bits."""
    kept = Dropout.of_epoch(0.5, 0, 0).masks(np.arange(2), 16) > 0.0
    assert ["".join("01"[one] for one in row) for row in kept.astype(int)] == ["0001011010110010", "1110010110100011"]
