"""Models of timm that the tests train and export."""

# One name of each of twelve families; Swin is a transformer whose maps have their channels last.
FAMILIES = (
    "resnet10t",
    "efficientnet_lite0",
    "mobilenetv3_small_050",
    "convnext_atto",
    "regnetx_002",
    "swin_tiny_patch4_window7_224",
    "pvt_v2_b0",
    "ghostnet_050",
    "hgnetv2_b0",
    "dla46_c",
    "efficientvit_b0",
    "cs3darknet_s",
)
LARGE = ("swin_tiny_patch4_window7_224",)
"""With tens of millions of parameters: for the tests that take minutes."""
