"""Average precision: the VOC devkit's, exactly, and COCO's through an adapter."""
