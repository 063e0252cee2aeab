"""Models of timm that the tests train and export."""

FAMILIES = (
    "resnet10t",
    "mobilenetv3_small_050",
    "convnext_atto",
    "pvt_v2_b0",
    "dla46_c",
    "efficientvit_b0",
    "efficientnet_lite0",
    "regnetx_002",
    "ghostnet_050",
    "hgnetv2_b0",
    "cs3darknet_s",
    "swin_tiny_patch4_window7_224",
)
"""One name of each of twelve families; those behind the third are for the tests that take minutes."""
