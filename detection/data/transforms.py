"""From a decoded image to the network's input: augmentation and resizing.

Every transform here is called as ``transform(image, boxes, labels, difficult)`` and returns the same
four, the image as a uint8 ``(3, H, W)`` tensor. Those of training are albumentations' chains
(``augmentation.py``), which take most of a second to import: evaluation only resizes, without them.
"""

from detection.bounds import Colour, Expansion, Few, Share, Side, Size, Tiles, height_and_width
from detection.data.chain import DetectionTransform as DetectionTransform
from detection.data.chain import Transformed as Transformed
from detection.data.chain import exactly as exactly
from detection.data.chain import short_side as short_side

IMAGENET_MEAN = (123.675, 116.28, 103.53)


def ssd_train_transform(
    size: Size,
    fill: Colour = IMAGENET_MEAN,
    photometric: bool = True,
    expand_probability: Share = 0.5,
    max_expand: Expansion = 4.0,
    crop: bool = True,
    flip_probability: Share = 0.5,
    erase_probability: Share = 0.0,
    sizes: Few[Side] | None = None,
    tiles: Tiles | None = None,
    mosaic_probability: Share = 0.0,
    mixup_probability: Share = 0.0,
    copy_paste_probability: Share = 0.0,
    mix_until: Share = 0.85,
) -> DetectionTransform:
    """SSD's training transform (SSD paper, sections 2.2 and 3.6).

    Colours are distorted after the geometry: fewer pixels to touch, and the same images but for the fill.

    Args:
        size: side of the square input, or ``(height, width)``.
        fill: RGB around expanded images.
        photometric: whether to distort brightness, contrast, saturation and hue.
        expand_probability: chance of placing the image on a larger canvas.
        max_expand: largest side of that canvas, in sides of the image.
        crop: whether to take an IoU-constrained crop.
        flip_probability: chance of a mirror image.
        erase_probability: chance of noise over a rectangle; see ``erasing.RandomErasing``.
        sizes: shortest sides of inputs, of which each optimizer step draws one; the other side follows in
            proportion. None makes all inputs of ``size``.
        tiles: train on windows of large images, as prediction with these ``tiles`` looks at them; see
            ``compositions.sample_tile``.
        mosaic_probability: chance of parts of four images in one.
        mixup_probability: chance of another image laid over this one.
        copy_paste_probability: chance of objects of another image pasted where none is.
        mix_until: share of the run from which on no image is made of several.
    """
    from detection.data.augmentation import ssd_recipe, train_transform
    from detection.data.varied import Variations

    recipe = ssd_recipe(
        fill, photometric, expand_probability, max_expand, crop, flip_probability, erase_probability
    )
    mixed = mosaic_probability, mixup_probability, copy_paste_probability, mix_until
    return train_transform(size, recipe, Variations(sizes, tiles, *mixed))


def ssd_eval_transform(size: Size, bilinear: bool = False) -> DetectionTransform:
    """SSD's evaluation transform: resize, nothing else.

    Args:
        size: side, or height and width.
        bilinear: see :func:`exactly`.
    """
    return DetectionTransform(exactly(height_and_width(size), bilinear))


def faster_rcnn_train_transform(
    size: Size,
    flip_probability: Share = 0.5,
    erase_probability: Share = 0.0,
    sizes: Few[Side] | None = None,
    tiles: Tiles | None = None,
    mosaic_probability: Share = 0.0,
    mixup_probability: Share = 0.0,
    copy_paste_probability: Share = 0.0,
    mix_until: Share = 0.85,
) -> DetectionTransform:
    """Faster R-CNN's training transform: resize, and mirror now and then.

    Args:
        size: lengths of the shortest side and, at most, of the longest.
        flip_probability: chance of a mirror image.
        erase_probability: see ``ssd_train_transform``, as for those below.
        sizes: shortest sides of which each optimizer step draws one; the limit of the longest follows.
        tiles: train on windows of large images.
        mosaic_probability: chance of parts of four images in one.
        mixup_probability: chance of another image laid over this one.
        copy_paste_probability: chance of objects of another image pasted where none is.
        mix_until: share of the run from which on no image is made of several.

    Raises:
        ValueError: if ``size`` is not two numbers.
    """
    from detection.data.augmentation import faster_rcnn_recipe, train_transform
    from detection.data.varied import Variations

    mixed = mosaic_probability, mixup_probability, copy_paste_probability, mix_until
    variations = Variations(sizes, tiles, *mixed)
    return train_transform(size, faster_rcnn_recipe(flip_probability, erase_probability), variations)


def faster_rcnn_eval_transform(size: Size, round_down: bool = False) -> DetectionTransform:
    """Faster R-CNN's evaluation transform: resize, nothing else.

    Args:
        size: lengths of the shortest side and, at most, of the longest.
        round_down: see ``detection.reader.short_side_size``.
    """
    return DetectionTransform(short_side(size, round_down))
