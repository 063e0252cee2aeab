"""What ``share`` needs: what a run tells of its detector, the folder with its model card, the upload."""
