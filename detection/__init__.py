"""SSD and Faster R-CNN on PASCAL VOC and on your own data."""
